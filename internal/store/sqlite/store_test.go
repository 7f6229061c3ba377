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

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, sqlite.FileName), 0o644); err != nil { // as "cp" restores a backup
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

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"a newer file": {func(t *testing.T, path string) { execute(t, path, "PRAGMA user_version=99") }, "schema version 99"},
		"another program's file": {func(t *testing.T, path string) { execute(t, path, "PRAGMA application_id=7") },
			"not a database of Pawl's"},
		"an overwritten file": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("rubbish ", 4096)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "restore it from a backup"},
		"a truncated file": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 8192); err != nil {
				t.Fatal(err)
			}
		}, "restore it from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := open(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, filepath.Join(dir, sqlite.FileName))
			s, err := sqlite.Open(dir, sqlite.Options{})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func TestSecondOwnerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := sqlite.Open(dir, sqlite.Options{}); err == nil || !strings.Contains(err.Error(), "held by another Pawl") {
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

// TestRefreshesDoNotGrowTheFile: ten times the refreshes, the same file, but
// for a few pages, as the log's rows are cut by how the callers happen to meet.
func TestRefreshesDoNotGrowTheFile(t *testing.T) {
	dir := t.TempDir()
	ids := make([]token.SessionID, 100)
	first, second := uint32(101), uint32(1001)
	if testing.Short() {
		first, second = 61, 301 // the log is at its bound after 43 each
	}
	s := open(t, dir)
	u, err := s.CreateUser(t.Context(), authority.User{Login: "a", Level: authority.Root, Status: authority.Active}, "hash")
	if err != nil {
		t.Fatal(err)
	}
	for i := range ids {
		ids[i] = token.SessionID{byte(i), 1}
		if err := s.OpenSession(t.Context(), authority.SessionWithOrigin{Session: authority.Session{ID: ids[i], UserID: u.ID, Generation: 1, Ends: 1 << 31}}, "hash"); err != nil {
			t.Fatal(err)
		}
	}
	refreshTo := func(from, to uint32) int64 {
		var group sync.WaitGroup
		for _, id := range ids {
			group.Go(func() {
				for g := from; g < to; g++ {
					_, moved, err := s.Rotate(t.Context(), authority.Rotation{Session: id, From: g, At: 1_795_500_000, Expires: 1_795_503_600, IdempotencyKey: authority.IdempotencyKeyHash{1}})
					if err != nil || !moved {
						t.Errorf("moved %v, %v", moved, err)
						return
					}
				}
			})
		}
		group.Wait()
		if err := s.Close(); err != nil { // which checkpoints
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, sqlite.FileName))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := refreshTo(1, first)
	s = open(t, dir)
	if after := refreshTo(first, second); after > before+before/8 {
		t.Errorf("the file grew from %d to %d bytes", before, after)
	} else {
		t.Logf("%d refreshes: %d bytes; %d: %d bytes", 100*(first-1), before, 100*(second-1), after)
	}
}
