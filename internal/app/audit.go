package app

import (
	"context"
	"fmt"
)

// Started records in the audit that a server begins to serve, with its settings.
func (a *App) Started(ctx context.Context) { a.Authority.Started(ctx, a.settings) }

// summary is the settings that decide what is safe; none of them is a secret.
func (c Config) summary() string {
	p, l := c.Policy, c.Limits
	return fmt.Sprintf("build %s, store %s, algorithm %s, token life %s, session life %s, bearer grace %s, "+
		"keyless retry %s, refresh key %s, verify staleness %s, login rate %d, refresh rate %d, trusted proxies %v, "+
		"in flight %d, audit age %s", c.Build, c.Store.Kind(), c.Algorithm, p.TokenLife, p.SessionLife,
		p.BearerGrace, p.ReplayWithoutKey, p.RefreshAPIKey, c.VerifyStaleness, l.LoginRate, l.RefreshRate, l.TrustedProxies, l.MaxInFlight, p.AuditAge)
}
