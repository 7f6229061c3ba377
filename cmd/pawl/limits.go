package main

import (
	"net/netip"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
)

// limitSettings limit what clients can take of a server. A limit of 0 is off.
type limitSettings struct {
	// LoginRate and RefreshRate count an IPv6 /64 as one address.
	LoginRate   int `default:"60" help:"Sign-ins per minute and client address; 0 is no limit."`
	RefreshRate int `default:"0" help:"Refreshes per minute and client address; 0 is no limit."`

	MaxConnections int `default:"10000" help:"Open connections; one more replaces the idlest. 0 is no limit."`
	// MaxConnectionsPerAddress does not apply to a TrustedProxy.
	MaxConnectionsPerAddress int `default:"1000" help:"Open connections per client address; 0 is no limit."`
	MaxInFlight              int `default:"1024" help:"Concurrent requests; one more gets 503. 0 is no limit."`

	// TrustedProxy are address blocks.
	TrustedProxy []string `placeholder:"CIDR" help:"Proxy whose X-Forwarded-For is trusted; may be repeated."`
}

// apply checks the settings and puts them into c.
func (s limitSettings) apply(c *app.Config) error {
	limits := []int{s.LoginRate, s.RefreshRate, s.MaxConnections, s.MaxConnectionsPerAddress, s.MaxInFlight}
	for _, n := range limits {
		if n < 0 || n > 1_000_000 {
			return usagef("--login-rate, --refresh-rate, --max-connections, --max-connections-per-address " +
				"and --max-in-flight must be from 0 to 1000000")
		}
	}
	c.Limits = server.Limits{LoginRate: s.LoginRate, RefreshRate: s.RefreshRate, MaxInFlight: s.MaxInFlight}
	for _, text := range s.TrustedProxy {
		prefix, err := netip.ParsePrefix(text)
		// An IPv4 block in IPv6 form would match no address, because the server unmaps addresses first.
		if err != nil || prefix.Addr().Is4In6() {
			return usagef("--trusted-proxy %q must be an address block, such as 10.0.0.0/8 or 192.0.2.1/32", text)
		}
		c.Limits.TrustedProxies = append(c.Limits.TrustedProxies, prefix.Masked())
	}
	return nil
}
