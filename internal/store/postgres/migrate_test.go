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

	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestMigrationLog opens a database of the second schema. The log has both versions, and nothing at the next start.
func TestMigrationLog(t *testing.T) {
	cluster := pgtest.Start(t)
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
