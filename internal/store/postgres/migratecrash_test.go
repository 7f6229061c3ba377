//go:build linux

package postgres

import (
	"context"
	"fmt"
	"io/fs"
	osexec "os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// crasher is a tracer that cuts all connections of a store after the next statement that changes the database and that
// no earlier start has completed.
type crasher struct {
	mu        sync.Mutex // guards the fields below
	completed map[string]bool
	conns     map[*pgx.Conn]bool
	crashed   bool
}

type statementKey struct{}

var changesDatabase = regexp.MustCompile("^(CREATE|ALTER|DROP|INSERT|UPDATE)")

func (c *crasher) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[conn] = true
	if c.crashed {
		_ = conn.PgConn().Conn().Close() // a connection that was idle at the crash
	}
	statement := data.SQL
	if strings.Contains(statement, versionTable) {
		statement += fmt.Sprint(data.Args)
	}
	return context.WithValue(ctx, statementKey{}, statement)
}

func (c *crasher) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	c.mu.Lock()
	defer c.mu.Unlock()
	statement := ctx.Value(statementKey{}).(string)
	if data.Err != nil || c.crashed || c.completed[statement] || !changesDatabase.MatchString(statement) {
		return
	}
	c.completed[statement] = true
	c.crashed = true
	for conn := range c.conns {
		_ = conn.PgConn().Conn().Close()
	}
}

// start opens a store and reports whether it was not cut off.
func (c *crasher) start(t *testing.T, dsn string) bool {
	t.Helper()
	config, err := ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.crashed = false
	c.conns = map[*pgx.Conn]bool{}
	config.pool.ConnConfig.Tracer = c
	s, err := Open(t.Context(), config)
	if err == nil {
		_ = s.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !c.crashed {
		t.Fatalf("a start that was not cut off, after %d statements: %v", len(c.completed), err)
	}
	return !c.crashed
}

// schemaOf returns the schema of a store as SQL, with the number of rows that the migrations add.
func schemaOf(t *testing.T, dsn string) string {
	t.Helper()
	dump := osexec.Command(pgtest.Program(t, "pg_dump"), "--schema-only", "--schema=pawl", "--dbname="+dsn)
	out, err := dump.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	const rows = `SELECT concat_ws(' ',
		(SELECT string_agg(version_id::text, ',' ORDER BY version_id) FROM pawl.schema_version),
		(SELECT count(*) FROM pawl.state), (SELECT string_agg(name, ',' ORDER BY name) FROM pawl.lock))`
	var more string
	if err := conn.QueryRow(t.Context(), rows).Scan(&more); err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^\\(un)?restrict .*$`).ReplaceAllString(string(out), "") + more
}

// TestCrashInMigrations kills the start of a store after each statement of the migrations. Each next start continues,
// and the schema is in the end that of an undisturbed start.
func TestCrashInMigrations(t *testing.T) {
	for name, e := range map[string]engine{"PostgreSQL": {}, "like CockroachDB": likeCockroachDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := otherEngine(t, e)
			undisturbed := server.newDatabase(t)
			mustOpenRow(t, undisturbed, false).Close()
			dsn := server.newDatabase(t)
			c := &crasher{completed: map[string]bool{}}
			for starts := 1; !c.start(t, dsn); starts++ {
				if starts > 200 {
					t.Fatal("the migrations do not end")
				}
				execQuietly(t, dsn, "UPDATE pawl.node SET until = '-infinity'") // as if rowLife had passed
			}
			if len(c.completed) < 60 {
				t.Errorf("the start was killed %d times, want once for each statement", len(c.completed))
			}
			if got, want := schemaOf(t, dsn), schemaOf(t, undisturbed); got != want {
				t.Errorf("the schema differs from that of an undisturbed start:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// execQuietly is exec, and ignores an error.
func execQuietly(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, _ = conn.Exec(t.Context(), sql)
}

// TestUpgradeFromEachVersion opens a database of each earlier schema, which was migrated with a transaction for each
// version. The schema is then that of a new database.
func TestUpgradeFromEachVersion(t *testing.T) {
	t.Parallel()
	server := otherEngine(t, engine{})
	newest := server.newDatabase(t)
	mustOpenRow(t, newest, false).Close()
	want := schemaOf(t, newest)
	latest, err := latestVersion()
	if err != nil {
		t.Fatal(err)
	}
	for version := range latest {
		dsn := server.newDatabase(t)
		exec(t, dsn, "CREATE SCHEMA pawl")
		upTo(t, dsn, version)
		mustOpenRow(t, dsn, false).Close()
		if got := schemaOf(t, dsn); got != want {
			t.Errorf("the schema after an upgrade from version %d:\n%s\nwant:\n%s", version, got, want)
		}
	}
}

// upTo runs the migrations up to a version, with a transaction for each of them.
func upTo(t *testing.T, dsn string, version int64) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err == nil && version > 0 {
		_, err = provider.UpTo(t.Context(), version)
	}
	if err != nil {
		t.Fatal(err)
	}
}
