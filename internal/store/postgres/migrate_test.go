//go:build linux

package postgres_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestMigrationLog opens a database of the second schema. The log has both versions, and nothing at the next start.
func TestMigrationLog(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	cluster.Exec(t, database, "CREATE SCHEMA pawl")
	if err := migrateTo(t, cluster.DSN(database), 2); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`^\{.*"msg":"schema migrated","store":"PostgreSQL","from":2,"to":\d+\}\n$`, `^$`} {
		var log bytes.Buffer
		n := open(t, postgres.Config{DSN: cluster.DSN(database), Log: slog.New(slog.NewJSONHandler(&log, nil))})
		n.close()
		if !regexp.MustCompile(want).Match(log.Bytes()) {
			t.Errorf("the log is %q, want %s", &log, want)
		}
	}
}

// TestUpgradeOfSessions opens a database of the second schema with a session. The session can be refreshed until its
// token's exp, because there was no other idle time, and gets an idle time with the next refresh.
func TestUpgradeOfSessions(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	dsn := cluster.DSN(database)
	cluster.Exec(t, database, "CREATE SCHEMA pawl")
	if err := migrateTo(t, dsn, 2); err != nil {
		t.Fatal(err)
	}
	id := sessionID(7)
	pgtest.Exec(t, dsn,
		`INSERT INTO pawl.users (login, login_folded, password_hash, email, first_name, last_name, network_id,
			mailbox_id, level, status, created) VALUES ('a', 'a', 'hash', '', '', '', 1, 1, 7, 2, 5)`,
		fmt.Sprintf(`INSERT INTO pawl.session (id, user_id, generation, created, refreshed, previous, expires, ends,
			attempt, idempotency_key, ip, user_agent)
			VALUES ('%x', 1, 3, 100, 120, 110, 3720, 10100, 5, '', '192.0.2.1', 'test')`, id[:]))
	n := openNode(t, postgres.Config{DSN: dsn})
	want := authority.Session{
		ID: id, UserID: 1, Generation: 3, Created: 100, Refreshed: 120, Previous: 110, Expires: 3720, Idle: 3720,
		Ends: 10100,
	}
	if got, err := n.Session(t.Context(), id); err != nil || got.Session != want {
		t.Fatalf("session %+v, %v; want %+v", got.Session, err, want)
	}
	r := authority.Rotation{Session: id, From: 3, At: want.Idle, Lives: authority.Lives{Token: 60, Idle: 600}}
	if _, rotated, err := n.Rotate(t.Context(), r); rotated || err != nil {
		t.Errorf("past the exp: rotated %v, %v", rotated, err)
	}
	r.At--
	got, rotated, err := n.Rotate(t.Context(), r)
	if !rotated || err != nil || got.Session.Expires != r.At+60 || got.Session.Idle != r.At+600 {
		t.Errorf("before the exp: rotated %v to %+v, %v", rotated, got.Session, err)
	}
}

// migrateTo runs the migrations up to a version.
func migrateTo(t *testing.T, dsn string, version int64) error {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"),
		goose.WithTableName("pawl.schema_version"), goose.WithDisableGlobalRegistry(true))
	if err == nil {
		_, err = provider.UpTo(t.Context(), version)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("migrating to %d: %w", version, err)
	}
	return nil
}
