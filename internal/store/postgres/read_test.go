//go:build linux

package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestPlansAreKept checks that PostgreSQL does not plan a statement of the hot calls again for each small batch. After
// five executions it uses the generic plan, unless the plan looks more expensive than those for the parameters.
func TestPlansAreKept(t *testing.T) {
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	s, err := Open(t.Context(), Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	ids := []token.SessionID{{1}}
	rotation, withKey := new(rotationOp), new(rotationOp)
	withKey.Value.APIKey = new(authority.APIKeyCheck)
	for range 10 {
		if _, err := readSessions(t.Context(), conn, sessionsSQL, ids); err != nil {
			t.Fatal(err)
		}
		if _, err := readCredentials(t.Context(), conn, ids, []authority.APIKeyHash{{1}}); err != nil {
			t.Fatal(err)
		}
		for _, op := range []*rotationOp{rotation, withKey} {
			sql, args := s.rotateStatement([]*rotationOp{op})
			if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	rows, err := conn.Query(t.Context(), `SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements
		WHERE generic_plans + custom_plans >= 10`)
	if err != nil {
		t.Fatal(err)
	}
	var sql string
	var custom, generic int
	tag, err := pgx.ForEachRow(rows, []any{&sql, &custom, &generic}, func() error {
		if custom > 5 {
			t.Errorf("planned %d times, %d executions with the generic plan:\n%s", custom, generic, sql)
		}
		return nil
	})
	if err != nil || tag.RowsAffected() != 4 {
		t.Errorf("%d prepared statements, want 4: %v", tag.RowsAffected(), err)
	}
}
