package sqlite_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	zsqlite "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/token"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		dir := t.TempDir()
		return func() storetest.Store { return open(t, dir) }
	})
}

func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFilesArePrivate checks that the store removes the permissions of other users.
func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, sqlite.FileName), 0o644); err != nil { // as after "cp" of a backup
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 && runtime.GOOS != "windows" {
		t.Errorf("the folder: %v, %v", info, err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
}

// TestOpenRejects checks that Open rejects an unusable file, and explains what to do.
func TestOpenRejects(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string
	}{
		{
			name:    "a newer file",
			prepare: func(t *testing.T, path string) { execute(t, path, "PRAGMA user_version=99") },
			want:    "schema version 99",
		},
		{
			name:    "the file of another program",
			prepare: func(t *testing.T, path string) { execute(t, path, "PRAGMA application_id=7") },
			want:    "not a Pawl database",
		},
		{
			name: "an overwritten file",
			prepare: func(t *testing.T, path string) {
				if err := os.WriteFile(path, []byte(strings.Repeat("rubbish ", 4096)), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			want: "restore it from a backup",
		},
		{
			name: "a truncated file",
			prepare: func(t *testing.T, path string) {
				if err := os.Truncate(path, 8192); err != nil {
					t.Fatal(err)
				}
			},
			want: "restore it from a backup",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := open(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			test.prepare(t, filepath.Join(dir, sqlite.FileName))
			s, err := sqlite.Open(dir, sqlite.Options{})
			if err == nil {
				s.Close()
				t.Fatal("Open accepted the file")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not contain %q", err, test.want)
			}
		})
	}
}

// TestSecondOwnerIsRejected checks that a folder has one owner at a time.
func TestSecondOwnerIsRejected(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := sqlite.Open(dir, sqlite.Options{})
	if err == nil || !strings.Contains(err.Error(), "held by another Pawl") {
		t.Errorf("error %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Close(); err != nil {
		t.Error(err)
	}
}

func execute(t *testing.T, path, sql string) {
	t.Helper()
	conn, err := zsqlite.OpenConn(path, zsqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, sql, nil); err != nil {
		t.Fatal(err)
	}
}

// TestRefreshesDoNotGrowTheFile checks that ten times the refreshes need the same file. The size varies by a few pages,
// because the size of the batches varies.
func TestRefreshesDoNotGrowTheFile(t *testing.T) {
	dir := t.TempDir()
	first, second := uint32(101), uint32(1001)
	if testing.Short() {
		first, second = 61, 301 // Compaction starts at 43.
	}
	s := open(t, dir)
	user := authority.User{Login: "a", Level: authority.Root, Status: authority.Active}
	u, err := s.CreateUser(t.Context(), authority.Rights{}, user, "hash")
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]token.SessionID, 100)
	for i := range ids {
		ids[i] = token.SessionID{byte(i), 1}
		session := authority.Session{ID: ids[i], UserID: u.ID, Generation: 1, Idle: 1 << 31, Ends: 1 << 31}
		opening := authority.Opening{
			SessionWithOrigin: authority.SessionWithOrigin{Session: session}, PasswordHash: "hash",
		}
		if _, err := s.OpenSession(t.Context(), opening); err != nil {
			t.Fatal(err)
		}
	}
	refreshAll(t, s, ids, 1, first)
	before := closeAndMeasure(t, s, dir)
	s = open(t, dir)
	refreshAll(t, s, ids, first, second)
	after := closeAndMeasure(t, s, dir)
	t.Logf("%d refreshes: %d bytes; %d: %d bytes", 100*(first-1), before, 100*(second-1), after)
	if after > before+before/8 {
		t.Errorf("the file grew from %d to %d bytes", before, after)
	}
}

// refreshAll rotates all sessions from one generation to another, at once.
func refreshAll(t *testing.T, s *sqlite.Store, ids []token.SessionID, from, to uint32) {
	t.Helper()
	var group sync.WaitGroup
	for _, id := range ids {
		group.Go(func() {
			for g := from; g < to; g++ {
				_, rotated, err := s.Rotate(t.Context(), authority.Rotation{
					Session:        id,
					From:           g,
					At:             1_795_500_000,
					Lives:          authority.Lives{Token: 3600, Idle: 3600},
					IdempotencyKey: authority.IdempotencyKeyHash{1},
				})
				if err != nil || !rotated {
					t.Errorf("rotated %v, %v", rotated, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// closeAndMeasure closes the store, which checkpoints the write-ahead log, and returns the size of the file.
func closeAndMeasure(t *testing.T, s *sqlite.Store, dir string) int64 {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, sqlite.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
