//go:build linux

package postgres

import (
	"testing"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestCommitsAreDurable: whatever the database's default is, a node's commits
// wait for the disk; what is stricter stays.
func TestCommitsAreDurable(t *testing.T) {
	for set, want := range map[string]string{"off": "on", "on": "on", "remote_apply": "remote_apply"} {
		cluster := pgtest.Start(t, "synchronous_commit="+set)
		s, err := Open(t.Context(), Config{DSN: cluster.DSN(cluster.Database(t))})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := s.pool.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != want {
			t.Errorf("with %s in the database a node has %s, want %s; %v", set, got, want, err)
		}
		for name, want := range map[string]string{"default_transaction_isolation": "read committed", "lock_timeout": "4s",
			"idle_in_transaction_session_timeout": "10s", "tcp_keepalives_idle": "10"} {
			if err := s.pool.QueryRow(t.Context(), "SHOW "+name).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, want %q; %v", name, got, want, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
