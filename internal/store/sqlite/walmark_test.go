package sqlite

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// moment has the files of a store after a commit, and the generations of its sessions then.
type moment struct {
	name        string
	db, wal     []byte
	generations map[token.SessionID]uint32
}

// write puts a database and a write-ahead log into an empty folder, and returns the folder.
func (m *moment) write(t *testing.T, wal []byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{FileName: m.db, FileName + "-wal": wal} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// history makes commits with a write-ahead log that starts again after every few of them.
type history struct {
	*testing.T
	s       *Store
	dir     string
	ids     []token.SessionID
	at      map[token.SessionID]uint32
	moments []moment
}

func (h *history) read(name string) []byte {
	h.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.Fatal(err)
	}
	return text
}

// checkpointEvery sets after how many pages SQLite copies the log into the database.
func (h *history) checkpointEvery(pages string) {
	h.Helper()
	if err := sqlitex.ExecuteTransient(h.s.writer, "PRAGMA wal_autocheckpoint="+pages, nil); err != nil {
		h.Fatal(err)
	}
}

// rotate commits one rotation of each of the first sessions, and keeps the moment.
func (h *history) rotate(name string, sessions int) {
	h.Helper()
	h.commit(name, sessions, nil)
}

// commitLarge is rotate in a commit that is larger than the log may be before a checkpoint.
func (h *history) commitLarge(name string) {
	h.Helper()
	events := slices.Repeat([]audit.Event{{Detail: strings.Repeat("x", 500)}}, maxSmallCommit)
	run := func(c *change) error { return insertAll(c, insertEvent, events, eventValues) }
	h.commit(name, 100, []*batch.Op[operation]{{Value: operation{run: run}}})
}

func (h *history) commit(name string, sessions int, ops []*batch.Op[operation]) {
	h.Helper()
	for _, id := range h.ids[:sessions] {
		ops = append(ops, rotationOp(id, h.at[id]))
		h.at[id]++
	}
	h.s.commit(ops)
	for _, op := range ops {
		if op.Value.err != nil {
			h.Fatal(op.Value.err)
		}
	}
	h.moments = append(h.moments, moment{
		name: name, db: h.read(FileName), wal: h.read(FileName + "-wal"), generations: maps.Clone(h.at),
	})
}

// checkpointFromOutside runs a checkpoint as a program does that replicates the database.
func (h *history) checkpointFromOutside(mode string) {
	h.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(h.dir, FileName), sqlite.OpenReadWrite)
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, "PRAGMA wal_checkpoint("+mode+")", nil); err != nil {
		h.Fatal(err)
	}
}

// crash continues in a new folder with the present files, as after a loss of power.
func (h *history) crash() {
	h.Helper()
	now := moment{db: h.read(FileName), wal: h.read(FileName + "-wal")}
	h.dir = now.write(h.T, now.wal)
	h.s = mustOpen(h.T, h.dir)
}

func (h *history) restart() {
	h.Helper()
	if err := h.s.Close(); err != nil {
		h.Fatal(err)
	}
	h.s = mustOpen(h.T, h.dir)
}

// makeHistory makes commits of one page and of many, checkpoints, restarts and crashes.
func makeHistory(t *testing.T) *history {
	t.Helper()
	h := &history{T: t, dir: t.TempDir(), at: map[token.SessionID]uint32{}}
	h.s, h.ids = withSessions(t, h.dir, 500)
	for _, id := range h.ids {
		h.at[id] = 1
	}
	h.restart()
	for range 2 {
		h.rotate("after a start", 1)
		h.checkpointEvery("10")
		for range 8 {
			h.rotate("small", 3)
		}
		h.commitLarge("larger than the log")
		h.commitLarge("larger than the log")
		h.rotate("after a large one", 1)
		h.crash()
		h.rotate("after a crash", 2)
		h.checkpointFromOutside("PASSIVE")
		h.rotate("after a checkpoint from outside", 1)
		h.rotate("after a checkpoint from outside", 1)
		h.restart()
		h.rotate("after a start", 1)
		h.rotate("after a start", 1)
		h.checkpointFromOutside("TRUNCATE")
		h.rotate("after the log was truncated", 1)
		h.crash()
		h.checkpointEvery("10")
		h.rotate("after a crash", 4)
		h.restart()
	}
	return h
}

// mustBeAtMoment opens a store, which must be whole, and checks the generation of each session.
func mustBeAtMoment(t *testing.T, dir string, m *moment) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Error(err)
		return
	}
	for id, generation := range m.generations {
		if got, ok := s.sessions.Get(id); !ok || got.Generation != generation {
			t.Errorf("session %v is at generation %d, want %d", id, got.Generation, generation)
			break
		}
	}
	found, err := queryOne(s.writer, "PRAGMA integrity_check", nil,
		func(stmt *sqlite.Stmt) string { return stmt.ColumnText(0) })
	if err != nil || found != "ok" {
		t.Errorf("integrity_check: %s, %v", found, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestForeignWAL puts the database of each moment beside the write-ahead log of that moment and of each later one. The
// files of one moment must open. The files of two moments must open with the state of the log, or be refused without a
// change.
func TestForeignWAL(t *testing.T) {
	h := makeHistory(t)
	refused, mixed := 0, 0
	for i := range h.moments {
		for j := i; j < len(h.moments); j++ {
			db, log := &h.moments[i], &h.moments[j]
			dir := db.write(t, log.wal)
			err := checkWAL(filepath.Join(dir, FileName))
			switch {
			case err != nil && i == j:
				t.Errorf("moment %d, %s: %v", i, db.name, err)
			case err != nil:
				refused++
				if (i+j)%5 > 0 {
					continue // for the time that it takes
				}
				if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
					t.Errorf("a store with a foreign log: %v", err)
				}
				if text, err := os.ReadFile(filepath.Join(dir, FileName)); err != nil || !bytes.Equal(text, db.db) {
					t.Errorf("the refused database was changed: %v", err)
				}
			default:
				mixed++
				mustBeAtMoment(t, dir, log)
			}
			if t.Failed() {
				t.Fatalf("the database of moment %d (%s), the log of moment %d (%s)", i, db.name, j, log.name)
			}
		}
	}
	if n := len(h.moments); refused < n*n/3 || mixed < n+n/2 {
		t.Errorf("of %d moments, %d pairs were refused, and %d opened", n, refused, mixed)
	}
}

// TestPartialCheckpoint opens the files that a crash in the middle of a checkpoint leaves: some pages of the database
// are those from before the checkpoint, and some those from after it.
func TestPartialCheckpoint(t *testing.T) {
	h := makeHistory(t)
	checkpoints := 0
	for i := 1; i < len(h.moments); i++ {
		before, after := &h.moments[i-1], &h.moments[i]
		if bytes.Equal(before.db, after.db) || len(before.db) > len(after.db) || after.name != "small" {
			continue
		}
		checkpoints++
		for odd := range 2 {
			partial := moment{db: bytes.Clone(after.db)}
			for at := odd * 4096; at < len(before.db); at += 2 * 4096 {
				copy(partial.db[at:at+4096], before.db[at:])
			}
			mustBeAtMoment(t, partial.write(t, after.wal), after)
		}
	}
	if checkpoints < 2 {
		t.Errorf("only %d checkpoints", checkpoints)
	}
}

// TestBackupBesideWAL puts backups beside logs of the same store, and beside files that are no logs.
func TestBackupBesideWAL(t *testing.T) {
	h := makeHistory(t)
	root := "INSERT INTO user (login, login_folded, password_hash, email, first_name, last_name, network_id," +
		" mailbox_id, level, status, created) VALUES ('r', 'r', '', '', '', '', 1, 1, 1, 1, 0)"
	if err := execute(h.s.writer, root); err != nil {
		t.Fatal(err)
	}
	h.rotate("before the backup", 1)
	path := filepath.Join(t.TempDir(), "backup")
	if err := Backup(t.Context(), h.dir, path); err != nil {
		t.Fatal(err)
	}
	h.rotate("after the backup", 1)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	backup := moment{db: text}
	for i := range h.moments {
		dir := backup.write(t, h.moments[i].wal)
		if _, err := Open(dir, Options{}); err == nil {
			t.Errorf("a backup beside the log of moment %d was accepted", i)
		}
		if err := Backup(t.Context(), dir, path+"-copy"); err == nil {
			t.Errorf("a backup beside the log of moment %d was backed up", i)
		}
	}
	last := &h.moments[len(h.moments)-1]
	torn := bytes.Clone(last.wal)
	torn[walChecksumAt] ^= 1
	for name, test := range map[string]struct {
		wal     []byte
		refused bool
	}{
		"empty":                  {},
		"shorter than a header":  {wal: last.wal[:walHeaderSize-1]},
		"zeros":                  {wal: make([]byte, 5000)},
		"a header alone":         {wal: last.wal[:walHeaderSize]},
		"no whole commit":        {wal: last.wal[:walHeaderSize+100]},
		"a torn header":          {wal: torn},
		"text":                   {wal: []byte(strings.Repeat("not a log ", 10)), refused: true},
		"another SQLite's pages": {wal: bytes.Clone(last.wal), refused: true},
	} {
		if err := checkWAL(filepath.Join(backup.write(t, test.wal), FileName)); (err != nil) != test.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
