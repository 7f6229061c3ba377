package sqlite

import (
	"context"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// Inspect reads what a server needs of the store in dir, and changes nothing. A server may use the store at the same
// time. The errors are those of Backup.
func Inspect(ctx context.Context, dir string) (found storecopy.Inspection, err error) {
	path := filepath.Join(dir, FileName)
	conn, err := openExisting(ctx, path, dir)
	if err != nil {
		return found, err
	}
	defer conn.Close()
	if err := requireAdministrator(conn, path); err != nil {
		return found, err
	}
	found.Latest = int64(len(migrations))
	if found.Schema, err = pragma(conn, "user_version"); err != nil {
		return found, unreadable(path, err)
	}
	const keys = "SELECT id, jwk FROM signing_key WHERE retired = 0 ORDER BY rank DESC"
	found.SigningKeys, err = queryAll(conn, keys, nil, func(stmt *sqlite.Stmt) keyring.SigningKey {
		return keyring.SigningKey{ID: stmt.ColumnText(0), JWK: stmt.ColumnText(1)}
	})
	return found, err
}
