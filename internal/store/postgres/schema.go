package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pawlauth/pawl/internal/storecopy"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	versionTable = "pawl.schema_version"
	// migrationLock is the key of the advisory lock that lets one node migrate at a time ("Pawl" in ASCII).
	migrationLock = 0x5061776c
)

// migrate brings the schema "pawl" to the latest version. Nodes starting at the same time wait for the first one. A
// database of a newer Pawl is rejected and stays unchanged.
func (s *Store) migrate(ctx context.Context, c Config) error {
	latest, err := latestVersion()
	if err != nil {
		return err
	}
	version, err := s.schemaVersion(ctx)
	switch {
	case err != nil:
		return err
	case version == latest:
		return nil
	case version > latest:
		return fmt.Errorf("the database has schema version %d, and this Pawl supports versions up to %d: "+
			"start the newer Pawl", version, latest)
	case version == 0 && c.MustExist:
		return storecopy.ErrMissing
	}
	own, err := s.openLockConn(ctx)
	if err != nil {
		return err
	}
	defer own.Close(context.WithoutCancel(ctx))
	locked, unlock, err := s.lockMigrations(ctx, own)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.createSchema(locked); err != nil {
		return err
	}
	applied, err := s.runMigrations(locked)
	if locked.Err() != nil {
		err = errors.Join(err, context.Cause(locked))
	}
	if err == nil && applied > 0 && version > 0 && c.Log != nil {
		c.Log.Info("schema migrated", "store", "PostgreSQL", "from", version, "to", latest)
	}
	return err
}

// createSchema creates the schema unless it exists. It does not use IF NOT EXISTS, because that needs the right to
// create schemas even if the schema exists.
func (s *Store) createSchema(ctx context.Context) error {
	var exists bool
	const find = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'pawl')"
	if err := s.bulk.pool.QueryRow(ctx, find).Scan(&exists); err != nil || exists {
		return err
	}
	_, err := s.bulk.pool.Exec(ctx, "CREATE SCHEMA pawl")
	return err
}

// feedMigrations are the migrations with the tables of the feed. An engine without the feed leaves them out.
var feedMigrations = []int64{13, 21}

// runMigrations runs goose, which needs database/sql. It returns how many migrations this node has applied.
//
// Every statement is a transaction of its own, because some engines permit no second change of the schema in a
// transaction. So each statement of a migration must do nothing if it was executed before: after a crash, the next
// start executes the statements of the unfinished migration again.
func (s *Store) runMigrations(ctx context.Context) (applied int, err error) {
	db := stdlib.OpenDBFromPool(s.bulk.pool)
	defer db.Close()
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return 0, err
	}
	options := []goose.ProviderOption{
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithIsolateDDL(true),
	}
	if s.noFeed {
		options = append(options, goose.WithExcludeVersions(feedMigrations))
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, options...)
	if err != nil {
		return 0, err
	}
	if err := s.completeVersions(ctx); err != nil {
		return 0, err
	}
	for try := 1; ; try++ {
		results, err := provider.Up(ctx)
		applied += len(results)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			applied += len(partial.Applied)
		}
		if !isConflict(err) || try == maxTries {
			return applied, err
		}
	}
}

// completeVersions adds the first row to the table of goose if a crash has left the table without it.
func (s *Store) completeVersions(ctx context.Context) error {
	const add = "INSERT INTO " + versionTable + " (version_id, is_applied) SELECT 0, true" +
		" WHERE NOT EXISTS (SELECT 1 FROM " + versionTable + ")"
	var exists bool
	err := s.bulk.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).Scan(&exists)
	if err == nil && exists {
		_, err = s.bulk.pool.Exec(ctx, add)
	}
	return err
}

func (s *Store) schemaVersion(ctx context.Context) (version int64, err error) {
	err = s.bulk.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		version, err = schemaVersion(ctx, conn.Conn())
		return err
	})
	return version, err
}

// schemaVersion returns the version of the database's schema, or 0 if there is none.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (int64, error) {
	var exists bool
	err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	var version int64
	sql := "SELECT coalesce(max(version_id), 0) FROM " + versionTable + " WHERE is_applied"
	err = conn.QueryRow(ctx, sql).Scan(&version)
	return version, err
}

// latestVersion returns the version reached by the migrations of this Pawl.
func latestVersion() (int64, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	var latest int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		latest = max(latest, version)
	}
	return latest, nil
}
