//go:build linux

package postgres_test

import (
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/pgtest"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	cluster := pgtest.Start(t)
	storetest.Run(t, func(t *testing.T) func() authority.Store {
		dsn := cluster.DSN(cluster.Database(t))
		return func() authority.Store { return open(t, postgres.Config{DSN: dsn}) }
	})
}

func open(t testing.TB, c postgres.Config) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
