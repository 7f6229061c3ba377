package main

import (
	"errors"
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

// apply puts the settings into c. The error has all problems.
func (s limitSettings) apply(c *app.Config) error {
	var all []error
	for _, n := range []struct {
		name  string
		value int
	}{
		{name: "login-rate", value: s.LoginRate},
		{name: "refresh-rate", value: s.RefreshRate},
		{name: "max-connections", value: s.MaxConnections},
		{name: "max-connections-per-address", value: s.MaxConnectionsPerAddress},
		{name: "max-in-flight", value: s.MaxInFlight},
	} {
		if n.value < 0 || n.value > 1_000_000 {
			all = append(all, badSetting(n.name, "must be from 0 to 1000000"))
		}
	}
	c.Limits = server.Limits{LoginRate: s.LoginRate, RefreshRate: s.RefreshRate, MaxInFlight: s.MaxInFlight}
	for _, text := range s.TrustedProxy {
		prefix, err := netip.ParsePrefix(text)
		// An IPv4 block in IPv6 form would match no address, because the server unmaps addresses first.
		if err != nil || prefix.Addr().Is4In6() {
			all = append(all, badSetting("trusted-proxy",
				"must have address blocks such as 10.0.0.0/8 or 192.0.2.1/32, and %q is none", text))
			continue
		}
		c.Limits.TrustedProxies = append(c.Limits.TrustedProxies, prefix.Masked())
	}
	return errors.Join(all...)
}
