package main

import (
	"os"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/trust"
)

// issuerSettings name the systems whose users get sessions by an assertion. serve and dev have them.
type issuerSettings struct {
	TrustedIssuers string `placeholder:"FILE" help:"JSON file of the issuers whose assertions open sessions."`
}

// apply reads the file and puts the issuers into c.
func (s issuerSettings) apply(c *app.Config) error {
	if s.TrustedIssuers == "" {
		return nil
	}
	text, err := os.ReadFile(s.TrustedIssuers)
	if err != nil {
		return badSetting("trusted-issuers", "cannot be read: %w; name a JSON file", err)
	}
	if c.TrustedIssuers, err = trust.ParseIssuers(text); err == nil {
		err = authority.CheckIssuers(c.TrustedIssuers)
	}
	if err != nil {
		return badSetting("trusted-issuers", "%s: %w", s.TrustedIssuers, err)
	}
	return nil
}
