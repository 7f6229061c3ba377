package main

import (
	"errors"
	"strings"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
)

// browserSettings let web pages use the server. serve and dev have them.
type browserSettings struct {
	// AllowedOrigin are schemes and hosts as browsers send them. None is allowed by default.
	AllowedOrigin []string `placeholder:"ORIGIN" help:"Origin of pages that may call the server; may be repeated."`

	// Cookie is the SameSite attribute of the cookie, or off.
	Cookie server.CookieMode `default:"off" enum:"off,lax,strict" help:"Session cookie for browsers (${enum})."`
}

// apply puts the settings into c. tls means that the server speaks HTTPS itself. The error has all problems.
func (s browserSettings) apply(c *app.Config, tls bool) error {
	c.AllowedOrigins, c.Cookie = s.AllowedOrigin, s.Cookie
	secure := tls || strings.HasPrefix(c.PublicURL, "https://")
	var all []error
	for _, err := range server.CheckOrigins(s.AllowedOrigin, secure) {
		all = append(all, badSetting("allowed-origin", "%w", err))
	}
	return errors.Join(all...)
}
