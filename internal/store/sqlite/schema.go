package sqlite

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"
)

// applicationID marks a file as Pawl's ("Pawl" in ASCII).
const applicationID = 0x5061776c

var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed users.sql
	usersSQL string
	//go:embed event_tenant.sql
	eventTenantSQL string
	//go:embed walmark.sql
	walMarkSQL string
	//go:embed session_extras.sql
	sessionExtrasSQL string
	//go:embed apikeys.sql
	apiKeysSQL string
	//go:embed event_actor.sql
	eventActorSQL string
	//go:embed used_assertion.sql
	usedAssertionSQL string
	//go:embed session_actor.sql
	sessionActorSQL string
	//go:embed receivers.sql
	receiversSQL string
	//go:embed issued.sql
	issuedSQL string
	//go:embed user_filters.sql
	userFiltersSQL string
	//go:embed event_filters.sql
	eventFiltersSQL string
	//go:embed event_network.sql
	eventNetworkSQL string
)

// checkpointPages is after how many pages SQLite copies the write-ahead log into the database.
const checkpointPages = 1000

// migrations has one script for each version of the schema. A released script is never edited.
var migrations = []string{
	schemaSQL, usersSQL, walMarkSQL, sessionExtrasSQL, apiKeysSQL, eventTenantSQL, eventActorSQL,
	usedAssertionSQL, sessionActorSQL, receiversSQL, issuedSQL, userFiltersSQL, eventFiltersSQL,
	eventNetworkSQL,
}

// checkApplication rejects a file of another program or of a newer Pawl, before anything in the file changes.
func checkApplication(conn *sqlite.Conn, path string) error {
	id, err := pragma(conn, "application_id")
	if err != nil {
		return unreadable(path, err)
	}
	changes, err := pragma(conn, "schema_version") // 0 in an empty file
	if err != nil {
		return unreadable(path, err)
	}
	if id != applicationID && changes > 0 {
		return fmt.Errorf("%s is not a Pawl database: choose another folder with --data", path)
	}
	version, err := pragma(conn, "user_version")
	if err != nil {
		return unreadable(path, err)
	}
	if version > int64(len(migrations)) {
		return fmt.Errorf("%s has schema version %d, and this Pawl supports versions up to %d: start the newer Pawl",
			path, version, len(migrations))
	}
	return nil
}

// migrate brings the file to the newest version of the schema, and rejects a damaged file. It first copies a file of an
// earlier version, so that an operator can go back to the earlier Pawl.
func migrate(conn *sqlite.Conn, path string, log *slog.Logger) error {
	version, err := pragma(conn, "user_version")
	if err != nil {
		return unreadable(path, err)
	}
	latest := int64(len(migrations))
	if version == latest { // Migrate would write to the file even if it is current.
		return quickCheck(conn, path)
	}
	log = log.With("store", path, "from", version, "to", latest)
	if version > 0 {
		to := fmt.Sprintf("%s.schema-%d", path, version)
		log.Info("migrating the schema", "copy", to)
		if err := replaceCopy(conn, to); err != nil {
			return fmt.Errorf("cannot copy %s before its schema changes: %w; the copy needs as much space as the file",
				path, err)
		}
	}
	if err := markBeforeMigration(conn, path); err != nil {
		return unreadable(path, err)
	}
	schema := sqlitemigration.Schema{AppID: applicationID, Migrations: migrations}
	if err := sqlitemigration.Migrate(context.Background(), conn, schema); err != nil {
		return fmt.Errorf("migrating %s: %w", path, err)
	}
	if err := execute(conn, fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", checkpointPages)); err != nil {
		return unreadable(path, err)
	}
	if version > 0 {
		log.Info("schema migrated")
	}
	return quickCheck(conn, path)
}

// markBeforeMigration lets the write-ahead log of a migration begin with a mark, and keeps all of the migration in that
// log.
func markBeforeMigration(conn *sqlite.Conn, path string) error {
	if exists, err := hasWALMark(conn); err != nil || !exists {
		return err
	}
	mark, err := loadWALMark(conn, path)
	if err != nil {
		return err
	}
	defer mark.close()
	if err := execute(conn, "PRAGMA wal_autocheckpoint=0"); err != nil {
		return err
	}
	return mark.beforeCommit(conn) // a transaction of its own
}

// replaceCopy writes a copy of the database to a file, and replaces an earlier copy. The caller gives a fixed name, so
// that a server that is restarted again and again keeps only one.
func replaceCopy(conn *sqlite.Conn, to string) error {
	temp := to + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := copyTo(conn, temp); err != nil {
		return err
	}
	return os.Rename(temp, to)
}

// quickCheck reads the schema and one row of each table. It finds a truncated file, or one overwritten at its start, in
// almost no time.
func quickCheck(conn *sqlite.Conn, path string) error {
	tables := "user session session_extras session_purge rotation_log api_key signing_key failure_counter event " +
		"copying wal_mark used_assertion receiver issued"
	for table := range strings.FieldsSeq(tables) {
		if err := sqlitex.ExecuteTransient(conn, "SELECT * FROM "+table+" LIMIT 1", nil); err != nil {
			return fmt.Errorf("%s is damaged: table %s: %w; restore it from a backup", path, table, err)
		}
	}
	return nil
}

// unreadable explains what to do about an unreadable file.
func unreadable(path string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%s cannot be opened because its disk is full: %w; free some space", path, err)
	}
	return fmt.Errorf("%s is not a readable database: %w; restore it from a backup", path, err)
}

func pragma(conn *sqlite.Conn, name string) (int64, error) {
	var value int64
	err := sqlitex.ExecuteTransient(conn, "PRAGMA "+name, &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error {
			value = stmt.ColumnInt64(0)
			return nil
		},
	})
	return value, err
}
