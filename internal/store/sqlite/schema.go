package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"
)

// applicationID marks a file as Pawl's ("Pawl" in ASCII).
const applicationID = 0x5061776c

//go:embed migrations/*.sql
var migrationFiles embed.FS

// schema is the migrations in the order of their names. A migration that has
// been released is never edited.
func schema() (sqlitemigration.Schema, error) {
	s := sqlitemigration.Schema{AppID: applicationID}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return s, err
	}
	for _, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return s, err
		}
		s.Migrations = append(s.Migrations, string(text))
	}
	return s, nil
}

// migrate brings the file to this version's schema. A file of a newer Pawl, of
// another program, or with damage is refused and left as it is.
func migrate(conn *sqlite.Conn, path string) error {
	s, err := schema()
	if err != nil {
		return err
	}
	version, err := pragma(conn, "user_version")
	if err != nil {
		return unreadable(path, err)
	}
	if version > int64(len(s.Migrations)) {
		return fmt.Errorf("%s has schema version %d, and this Pawl knows versions up to %d: start the newer Pawl that wrote it",
			path, version, len(s.Migrations))
	}
	if version < int64(len(s.Migrations)) { // Migrate writes to the file even if there is nothing to do
		if err := sqlitemigration.Migrate(context.Background(), conn, s); err != nil {
			return fmt.Errorf("migrating %s: %w", path, err)
		}
	}
	return quickCheck(conn, path)
}

// quickCheck reads the schema and one row of each table: it finds a file that
// was cut off or overwritten at its start, and takes no time.
func quickCheck(conn *sqlite.Conn, path string) error {
	for _, table := range []string{"user", "session", "api_key", "signing_key", "step", "guess", "event"} {
		if err := sqlitex.ExecuteTransient(conn, "SELECT * FROM "+table+" LIMIT 1", nil); err != nil {
			return fmt.Errorf("%s is damaged: table %s: %w; restore it from a backup", path, table, err)
		}
	}
	return nil
}

// unreadable says what to do about a file that cannot be opened.
func unreadable(path string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%s cannot be opened, as its disk is full: %w; make room there", path, err)
	}
	return fmt.Errorf("%s is not a database that can be read: %w; restore it from a backup", path, err)
}

func pragma(conn *sqlite.Conn, name string) (value int64, err error) {
	err = sqlitex.ExecuteTransient(conn, "PRAGMA "+name, &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error { value = stmt.ColumnInt64(0); return nil },
	})
	return value, err
}

// refuseForeign refuses a file that another program wrote, before anything in
// it is changed.
func refuseForeign(conn *sqlite.Conn, path string) error {
	id, err := pragma(conn, "application_id")
	if err != nil {
		return unreadable(path, err)
	}
	changes, err := pragma(conn, "schema_version") // 0 in a file that is empty
	if err != nil {
		return unreadable(path, err)
	}
	if id != applicationID && changes > 0 {
		return fmt.Errorf("%s is not a database of Pawl's: choose another folder with --data", path)
	}
	return nil
}
