package sqlite

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// The layout of SQLite's write-ahead log (https://sqlite.org/fileformat2.html#walformat).
const (
	walHeader = 32
	walFrame  = 24 + 4096
)

// walFrames counts the frames of the log's present round, which have its salt.
func walFrames(wal []byte) (n int) {
	for at := walHeader; at+walFrame <= len(wal) && bytes.Equal(wal[at+8:at+16], wal[16:24]); at += walFrame {
		n++
	}
	return n
}

// torn is a store that was written to in steps, with moves, ends and records
// that are moved up in the step log, and where each session was after each.
type torn struct {
	ids     []token.SessionID
	db, wal []byte
	steps   []map[token.SessionID]uint32
	frames  []int // in the write-ahead log after each step
}

func tear(t *testing.T) *torn {
	t.Helper()
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 150)
	at := map[token.SessionID]uint32{}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	refresh := func(ids []token.SessionID) (ops []*batch.Op[write]) {
		for _, id := range ids {
			if at[id] > 0 {
				ops = append(ops, move(id, at[id]))
				at[id]++
			}
		}
		return ops
	}
	for _, id := range ids {
		at[id] = 1
	}
	for n := range 2 * logFloor / len(ids) {
		s.commit(refresh(ids[:len(ids)-10*min(n, 1)])) // the last ten are left behind in the oldest rows
	}
	if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA wal_checkpoint(RESTART)", nil); err != nil {
		t.Fatal(err)
	}
	r := &torn{ids: ids}
	for n := range 12 {
		ops := refresh(ids[n*5 : n*5+5+n*5])
		end := &batch.Op[write]{Value: write{run: endOf("id = ?", ids[n*7][:]), ends: true}}
		s.commit(append(ops, end))
		at[ids[n*7]] = 0
		state := map[token.SessionID]uint32{}
		for id, generation := range at {
			state[id] = generation
		}
		r.steps, r.frames = append(r.steps, state), append(r.frames, walFrames(read(FileName+"-wal")))
	}
	if s.log.oldest == 1 {
		t.Fatal("no row of the step log was used again")
	}
	r.db, r.wal = read(FileName), read(FileName+"-wal")
	return r
}

// check opens the files as a loss of power leaves them, and wants the sessions
// where the last step put them that is whole.
func (r *torn) check(t *testing.T, wal []byte, frames int) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{FileName: r.db, FileName + "-wal": wal} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	last := 0
	for last+1 < len(r.frames) && r.frames[last+1] <= frames {
		last++
	}
	s := mustOpen(t, dir)
	for _, id := range r.ids {
		mustBeAt(t, s, id, r.steps[last][id])
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestTornLog cuts the write-ahead log after and within each of its frames, and
// spoils a byte of each: what is whole before that holds, and nothing after it.
func TestTornLog(t *testing.T) {
	r := tear(t)
	for frames := r.frames[0]; frames < r.frames[len(r.frames)-1] && !t.Failed(); frames++ {
		at := walHeader + frames*walFrame
		r.check(t, r.wal[:at], frames)
		r.check(t, r.wal[:at+1+frames*101%(walFrame-1)], frames)
		spoiled := bytes.Clone(r.wal)
		spoiled[at+frames*97%walFrame] ^= 1
		r.check(t, spoiled, frames)
	}
	r.check(t, r.wal, r.frames[len(r.frames)-1])
}
