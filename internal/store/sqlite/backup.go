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

// Backup writes the store in dir, as it is at one moment, to a new file of mode
// 0600. A server may use the store meanwhile. What is there under that name
// already is never written over.
func Backup(ctx context.Context, dir, to string) error {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no store to back up: %w", err)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return fmt.Errorf("the store cannot be read: %w", err)
	}
	defer conn.Close()
	conn.SetInterrupt(ctx.Done())
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w; name a file that is not there yet", err)
		}
		return fmt.Errorf("the backup cannot be written: %w", err)
	}
	// VACUUM INTO fills an empty file, and leaves its mode.
	err = sqlitex.ExecuteTransient(conn, "VACUUM INTO ?", &sqlitex.ExecOptions{Args: []any{to}})
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("the backup failed, and its file is removed: %w", err), os.Remove(to))
	}
	return nil
}
