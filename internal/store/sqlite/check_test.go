package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// newCheckedStore makes a store with users, sessions, session API keys and sessions of an ended epoch, and closes it.
func newCheckedStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, ids := withSessions(t, dir, 90)
	root := authority.User{Login: "root", Level: authority.Root, Status: authority.Active}
	u, err := s.CreateUser(t.Context(), authority.Rights{}, root, "hash")
	if err != nil {
		t.Fatal(err)
	}
	key := authority.APIKey{UserID: 1, Visibility: authority.SessionOnly, Session: ids[7]}
	if _, err := s.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{1}); err != nil {
		t.Fatal(err)
	}
	key = authority.APIKey{UserID: u.ID, Visibility: authority.Private}
	if _, err := s.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{2}); err != nil {
		t.Fatal(err)
	}
	keep := authority.EndOptions{Except: ids[7]}
	if _, err := s.EndSessions(t.Context(), authority.Rights{}, 1, keep); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// alter changes the database of a closed store, without its foreign keys.
func alter(t *testing.T, dir, sql string) {
	t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(dir, FileName), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteScript(conn, "PRAGMA foreign_keys = OFF;"+sql, nil); err != nil {
		t.Fatal(err)
	}
}

// TestCheck damages a store in each way that Check looks for, and one page after the other.
func TestCheck(t *testing.T) {
	dir := newCheckedStore(t)
	report, err := Check(t.Context(), dir)
	want := storecopy.Counts{Users: 2, Sessions: 1, APIKeys: 2}
	if err != nil || len(report.Problems) > 0 || report.Counts != want {
		t.Fatalf("a whole store: %+v, %v; want %+v", report, err, want)
	}
	const oneSession = " WHERE id IN (SELECT id FROM session LIMIT 1)"
	const lastRow = " WHERE seq = (SELECT max(seq) FROM rotation_log)"
	for sql, problem := range map[string]string{
		"DELETE FROM user WHERE id = 1":                 "1 API keys have no user, for example 1",
		"UPDATE session SET user_id = 9" + oneSession:   "1 sessions have no user",
		"DELETE FROM session WHERE epoch = 1":           "1 API keys belong to a session that does not exist",
		"DELETE FROM session_purge":                     "have ended with all others of their user, but",
		"UPDATE user SET session_epoch = 0":             "1 sessions are of a later epoch",
		"UPDATE session SET user_id = 2":                "sessions have no state in the rotation log, or",
		"DELETE FROM session WHERE epoch = 0":           "the rotation log has 90 sessions, and the table",
		"DELETE FROM rotation_log" + lastRow:            "sessions have no state in the rotation log",
		"UPDATE rotation_log SET records = zeroblob(9)": "a row of the rotation log is damaged",
		"DELETE FROM rotation_log WHERE seq = 1":        "row 2 is missing",

		"PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'user_tenant'": "SQLite: ",
	} {
		damaged := copyStore(t, dir)
		alter(t, damaged, sql)
		report, err := Check(t.Context(), damaged)
		if err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), problem) {
			t.Errorf("%s: %+v, %v; want %q", sql, report, err, problem)
		}
	}
	for sql, want := range map[string]error{
		"DELETE FROM api_key; UPDATE user SET level = 5": storecopy.ErrNoAdministrator,
		"INSERT INTO copying VALUES (1)":                 storecopy.ErrIncomplete,
	} {
		damaged := copyStore(t, dir)
		alter(t, damaged, sql)
		if _, err := Check(t.Context(), damaged); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", sql, err, want)
		}
	}
	if _, err := Check(t.Context(), t.TempDir()); !errors.Is(err, storecopy.ErrMissing) {
		t.Errorf("an empty folder: %v", err)
	}
}

// copyStore copies a closed store.
func copyStore(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := os.WriteFile(filepath.Join(to, FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestCheckFindsEachPage overwrites each page of a database, and cuts the file after each page. Check must find damage,
// except in a page that is not in use.
func TestCheckFindsEachPage(t *testing.T) {
	dir := newCheckedStore(t)
	path := filepath.Join(dir, FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unused := 0
	for at := 0; at < len(whole); at += 4096 {
		overwritten := append([]byte{}, whole...)
		for i := range overwritten[at : at+4096] {
			overwritten[at+i] = byte(i*7 + 3)
		}
		for what, text := range map[string][]byte{"overwritten": overwritten, "cut": whole[:at]} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			report, err := Check(t.Context(), dir)
			switch {
			case err != nil || len(report.Problems) > 0:
			case what == "cut":
				t.Errorf("the file has %d of %d bytes, and Check finds nothing", at, len(whole))
			default:
				unused++
			}
		}
	}
	if unused > len(whole)/4096/4 {
		t.Errorf("%d of %d overwritten pages were not found", unused, len(whole)/4096)
	}
}

// TestEndAllSessions ends live sessions and those of ended epochs.
func TestEndAllSessions(t *testing.T) {
	dir := newCheckedStore(t)
	s := mustOpen(t, dir)
	ended, err := s.endAllSessions(t.Context(), func(string, int64, int64) {})
	if err != nil || ended != 90 || s.Stats().Sessions != 0 {
		t.Errorf("%d sessions ended, %d remain, %v; want 90 and 0", ended, s.Stats().Sessions, err)
	}
	if _, _, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{1}); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the API key of a session: %v", err)
	}
	if _, _, err := s.APIKeyByHash(t.Context(), authority.APIKeyHash{2}); err != nil {
		t.Errorf("the API key of a user: %v", err)
	}
}
