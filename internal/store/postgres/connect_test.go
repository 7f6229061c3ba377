//go:build linux

package postgres

import (
	"testing"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestConnectionSettings checks that a node's commits wait for the disk regardless of the database's default, that a
// stricter default stays, and that the other settings of a connection are set.
func TestConnectionSettings(t *testing.T) {
	for set, want := range map[string]string{"off": "on", "on": "on", "remote_apply": "remote_apply"} {
		cluster := pgtest.Start(t, "synchronous_commit="+set)
		s, err := Open(t.Context(), Config{DSN: cluster.DSN(cluster.Database(t))})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"synchronous_commit":                  want,
			"default_transaction_isolation":       "read committed",
			"lock_timeout":                        "4s",
			"idle_in_transaction_session_timeout": "10s",
			"tcp_keepalives_idle":                 "10",
		} {
			var got string
			if err := s.pool.QueryRow(t.Context(), "SHOW "+name).Scan(&got); err != nil || got != want {
				t.Errorf("synchronous_commit=%s in the database: %s is %q, want %q; %v", set, name, got, want, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
