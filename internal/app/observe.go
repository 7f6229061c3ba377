package app

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/password"
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
		c.Metrics.Register(gauges(a.Store, a.Passwords))
	}
	if c.Traces != nil {
		a.Store = c.Traces.Store(a.Store)
		a.Passwords.Trace = c.Traces.PasswordCheck
	}
}

func gauges(store authority.Store, passwords *password.Hasher) metrics.Gauges {
	g := metrics.Gauges{Passwords: passwords.Load, Sessions: func(context.Context) (int64, bool) { return 0, false }}
	if s, ok := store.(interface {
		SessionCount(context.Context) (int64, bool)
	}); ok {
		g.Sessions = s.SessionCount
	}
	if s, ok := store.(interface{ Pool() *pgxpool.Stat }); ok {
		g.Pool = s.Pool
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
