package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Backup writes a consistent copy of the store in dir to a new file with mode 0600. A server may use the store at the
// same time. Backup never overwrites a file. It returns storecopy.ErrMissing if dir has no store, and
// storecopy.ErrNoAdministrator if the store has no user of level Root.
func Backup(ctx context.Context, dir, to string) (err error) {
	defer func() { err = orInterrupted(ctx, err, "; there is no backup") }()
	path := filepath.Join(dir, FileName)
	// A running server has checked its log, and changes the files while they are read here.
	if err := checkWAL(path); err != nil && !isLocked(dir) {
		return err
	}
	conn, err := openExisting(ctx, path, dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := requireAdministrator(conn, path); err != nil {
		return err
	}
	err = copyTo(conn, to)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w; name a file that does not exist", err)
	}
	if err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	return nil
}

// copyTo writes a consistent copy of a database to a new file with mode 0600. If it fails, it removes the file.
func copyTo(conn *sqlite.Conn, to string) error {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// VACUUM INTO fills an empty file, and keeps its mode.
	err = sqlitex.ExecuteTransient(conn, "VACUUM INTO ?", &sqlitex.ExecOptions{Args: []any{to}})
	if err == nil {
		err = resetWALMark(to)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

// resetWALMark gives a new database file a mark of its own, so that it belongs to no write-ahead log.
func resetWALMark(path string) error {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer conn.Close()
	if exists, err := hasWALMark(conn); err != nil || !exists {
		return err
	}
	return execute(conn, "UPDATE "+walMarkTable+" SET salts = randomblob(16)")
}
