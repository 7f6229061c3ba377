package app

import (
	"net/http"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/sqlite"
)

// sqliteHooks and postgresHooks lead from the stores to the metrics; with no
// metrics there are none.
func (c *Config) sqliteHooks() sqlite.Hooks {
	if c.Metrics == nil {
		return sqlite.Hooks{}
	}
	return sqlite.Hooks{Committed: c.Metrics.Committed, Failed: c.Metrics.StoreFailed}
}

func (c *Config) postgresHooks() postgres.Hooks {
	if c.Metrics == nil {
		return postgres.Hooks{}
	}
	return postgres.Hooks{Committed: c.Metrics.Committed, Read: c.Metrics.Read, Failed: c.Metrics.StoreFailed}
}

// observe adds what hears of sign-ins and refreshes, and traces of the waits.
func (c *Config) observe(a *authority.Config) {
	if c.Metrics != nil {
		a.Observer = c.Metrics
		c.Metrics.Register(gauges(a))
	}
	if c.Traces != nil {
		a.Store = c.Traces.Store(a.Store)
		a.Passwords.Trace = c.Traces.PasswordCheck
	}
}

// gauges are what a scrape asks of the parts, before traces go around the store.
func gauges(a *authority.Config) metrics.Gauges {
	g := metrics.Gauges{Passwords: a.Passwords.Stats, SigningKeys: a.Keys.Count, Audit: a.Audit.Stats}
	switch store := a.Store.(type) {
	case *sqlite.Store:
		g.Sessions = store.SessionCount
	case *postgres.Store:
		g.Sessions, g.Pool = store.SessionCount, store.Pool
	}
	return g
}

// watch puts metrics and traces before a handler.
func (c *Config) watch(h http.Handler) http.Handler {
	if c.Metrics != nil {
		h = c.Metrics.Handler(h)
	}
	if c.Traces != nil {
		h = c.Traces.Handler(h)
	}
	return h
}
