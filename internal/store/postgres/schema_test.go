package postgres

import (
	"io/fs"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// TestKeysFromBeforeTimes: the newest key took over at the migration at the
// latest, so tokens of the one before it are not over yet.
func TestKeysFromBeforeTimes(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	migrateTo(t, dsn, 2, "INSERT INTO pawl.signing_key (id, jwk) VALUES ('old', 'o'), ('new', 'n')")
	s, err := Open(t.Context(), Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	keys, err := s.SigningKeys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].ID != "new" || keys[0].JWK != "n" || keys[0].SignsFrom == 0 || keys[0].PublishedAt != 0 || keys[1].SignsFrom != 0 {
		t.Errorf("keys %+v, %v", keys, err)
	}
}

// migrateTo makes a database of an older version, and runs a statement in it.
func migrateTo(t *testing.T, dsn string, version int64, statement string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA pawl"); err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
