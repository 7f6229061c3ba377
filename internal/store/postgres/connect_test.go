//go:build linux

package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestConnectionSettings checks that a node's commits wait for the disk regardless of the database's default, that a
// stricter default stays, and that the other settings of a connection are set.
func TestConnectionSettings(t *testing.T) {
	t.Parallel()
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
			if err := s.hot.pool.QueryRow(t.Context(), "SHOW "+name).Scan(&got); err != nil || got != want {
				t.Errorf("synchronous_commit=%s in the database: %s is %q, want %q; %v", set, name, got, want, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPoolKeepsItsServer checks that the order of the hosts does not replace the function that names the coordinator of
// Citus for each new connection. Otherwise the calls for the coordinator would run at a worker.
func TestPoolKeepsItsServer(t *testing.T) {
	config, err := ParseConfig("postgres://127.0.0.1:1/pawl")
	if err != nil {
		t.Fatal(err)
	}
	config.pool.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		config.Host = "coordinator"
		return nil
	}
	pool, err := newPool(t.Context(), config, 0, newFence(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	conn := pool.Config().ConnConfig
	if err := pool.Config().BeforeConnect(t.Context(), conn); err != nil || conn.Host != "coordinator" {
		t.Errorf("a new connection is to %s, %v", conn.Host, err)
	}
}

// TestEncoding checks that a connection uses UTF-8 regardless of the database's default, and that a database of another
// encoding is refused with the remedy.
func TestEncoding(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	cluster.Exec(t, "postgres", "ALTER DATABASE "+database+" SET client_encoding = 'LATIN1'",
		"CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	for _, dsn := range []string{cluster.DSN(database), cluster.DSN(database) + "&client_encoding=LATIN1"} {
		s, err := Open(t.Context(), Config{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := s.hot.pool.QueryRow(t.Context(), "SHOW client_encoding").Scan(&got); err != nil || got != "UTF8" {
			t.Errorf("client_encoding is %q, want UTF8; %v", got, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := Open(t.Context(), Config{DSN: cluster.DSN("latin1")})
	if err == nil || !strings.Contains(err.Error(), "ENCODING 'UTF8'") {
		t.Errorf("a database in LATIN1: %v, want an error with the remedy", err)
	}
}
