package sqlite

import (
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"
	"zombiezen.com/go/sqlite/sqlitex"
)

// TestKeysFromBeforeTimes: the newest key took over at the migration at the
// latest, so tokens of the one before it are not over yet.
func TestKeysFromBeforeTimes(t *testing.T) {
	dir := t.TempDir()
	conn, err := sqlite.OpenConn(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	old, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	old.Migrations = old.Migrations[:4]
	if err := sqlitemigration.Migrate(t.Context(), conn, old); err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteTransient(conn, "INSERT INTO signing_key (id, jwk) VALUES ('old', 'o'), ('new', 'n')", nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	keys, err := s.SigningKeys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].ID != "new" || keys[0].JWK != "n" || keys[0].Signs == 0 || keys[0].Published != 0 || keys[1].Signs != 0 {
		t.Errorf("keys %+v, %v", keys, err)
	}
}
