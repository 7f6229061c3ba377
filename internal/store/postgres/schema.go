package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return err
	}
	// The lock is this connection's, so it ends with it in any case.
	defer conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock)
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS pawl"); err != nil {
		return needsRights(err)
	}
	return needsRights(s.runMigrations(ctx))
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
	return version, needsRights(err)
}

func latestVersion() (latest int64, err error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	for _, name := range names {
		version, numberErr := goose.NumericComponent(name)
		latest, err = max(latest, version), errors.Join(err, numberErr)
	}
	return latest, err
}

// needsRights says what to do about an error of missing rights.
func needsRights(err error) error {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeInsufficientPrivilege {
		return fmt.Errorf("the database user may not do what Pawl needs: %w; grant it CREATE on the database, or ALL on the schema pawl and its tables", err)
	}
	return err
}
