package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	versionTable = "pawl.schema_version"
	// migrationLock is the advisory lock that lets one node migrate at a time
	// ("Pawl" in ASCII).
	migrationLock = 0x5061776c
)

// migrate brings the schema "pawl" to this version. Nodes that start at once
// wait for the first; a database of a newer Pawl is refused and left as it is.
func (s *Store) migrate(ctx context.Context, mustExist bool) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	latest, err := latestVersion()
	if err != nil {
		return err
	}
	if version, err := schemaVersion(ctx, conn.Conn()); err != nil || version == latest {
		return err
	} else if version > latest {
		return fmt.Errorf("the database has schema version %d, and this Pawl knows versions up to %d: start the newer Pawl that wrote it", version, latest)
	}
	if mustExist {
		return errors.New("the database has no schema of this Pawl's: is it the right one?")
	}
	own := conn.Hijack() // the lock, and how long it may be waited for, end with it
	defer own.Close(context.WithoutCancel(ctx))
	if _, err := own.Exec(ctx, "SET lock_timeout = 0"); err != nil {
		return err
	}
	if _, err := own.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return err
	}
	if err := createSchema(ctx, own); err != nil {
		return err
	}
	return s.runMigrations(ctx)
}

// createSchema asks for no right that it does not need.
func createSchema(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'pawl')").Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE SCHEMA pawl")
	return err
}

// runMigrations is goose, which wants database/sql.
func (s *Store) runMigrations(ctx context.Context) error {
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// schemaVersion is the version that the database has: 0 for an empty one.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (version int64, err error) {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).Scan(&there); err != nil || !there {
		return 0, err
	}
	err = conn.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&version)
	return version, err
}

func latestVersion() (latest int64, err error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	for _, name := range names {
		version, numberErr := goose.NumericComponent(name)
		latest, err = max(latest, version), errors.Join(err, numberErr)
	}
	return latest, err
}
