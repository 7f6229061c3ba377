package main

import (
	"errors"
	"strings"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/server"
)

// browserSettings let web pages use the server. serve and dev have them.
type browserSettings struct {
	// AllowedOrigin are schemes and hosts as browsers send them. None is allowed by default.
	AllowedOrigin []string `placeholder:"ORIGIN" help:"Origin of pages that may call the server; may be repeated."`

	// Cookie is the SameSite attribute of the cookie, or off.
	Cookie server.CookieMode `default:"off" enum:"off,lax,strict" help:"Session cookie for browsers (${enum})."`

	// Console is a path without a slash at the end, outside the paths of the API, or off.
	Console string `default:"${console}" placeholder:"PATH" help:"Path of the admin console, or off."`
}

// apply puts the settings into c. tls means that the server speaks HTTPS itself. The error has all problems.
func (s browserSettings) apply(c *app.Config, tls bool) error {
	c.AllowedOrigins, c.Cookie = s.AllowedOrigin, s.Cookie
	secure := tls || strings.HasPrefix(c.PublicURL, "https://")
	var all []error
	if c.Console = s.Console; s.Console == "off" {
		c.Console = ""
	} else if err := console.CheckPath(s.Console); err != nil {
		all = append(all, badSetting("console", "%w", err))
	}
	for _, err := range server.CheckOrigins(s.AllowedOrigin, secure) {
		all = append(all, badSetting("allowed-origin", "%w", err))
	}
	return errors.Join(all...)
}
