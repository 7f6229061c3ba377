package main

import (
	"net/netip"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
)

// limitSettings bound what a server on a network lets in.
type limitSettings struct {
	LoginRate      int      `default:"60" help:"Logins a minute of one address (IPv4, or IPv6 /64); 0 is no limit."`
	RefreshRate    int      `default:"0" help:"Refreshes a minute of one address; 0 is no limit."`
	TrustedProxy   []string `placeholder:"CIDR" help:"Proxy whose X-Forwarded-For is believed; may be given again."`
	MaxConnections int      `default:"10000" help:"Connections at once; one past it is closed. 0 is no limit."`
	MaxInFlight    int      `default:"1024" help:"Requests at once; one past it gets 503. 0 is no limit."`
}

// limit checks the settings and puts them into c.
func (s limitSettings) limit(c *app.Config) error {
	for _, n := range []int{s.LoginRate, s.RefreshRate, s.MaxConnections, s.MaxInFlight} {
		if n < 0 || n > 1_000_000 {
			return usagef("--login-rate, --refresh-rate, --max-connections and --max-in-flight must be from 0 to 1000000")
		}
	}
	c.Limits = server.Limits{LoginRate: s.LoginRate, RefreshRate: s.RefreshRate, MaxInFlight: s.MaxInFlight}
	for _, text := range s.TrustedProxy {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() { // the latter holds no address: they are unmapped
			return usagef("--trusted-proxy %q must be an address block, such as 10.0.0.0/8 or 192.0.2.1/32", text)
		}
		c.Limits.TrustedProxies = append(c.Limits.TrustedProxies, prefix.Masked())
	}
	return nil
}
