package sqlite

import (
	"bytes"
	"maps"
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

// walFrames counts the frames since the log last started again: those with the salt of the log's header.
func walFrames(wal []byte) int {
	n := 0
	for at := walHeader; at+walFrame <= len(wal) && bytes.Equal(wal[at+8:at+16], wal[16:24]); at += walFrame {
		n++
	}
	return n
}

// commits has the files of a store after some commits, and the generation of each session after each commit. The
// commits rotate and end sessions, and compact the rotation log. The last commits end all sessions but one, and remove
// the rows.
type commits struct {
	ids         []token.SessionID
	db, wal     []byte
	generations []map[token.SessionID]uint32
	frames      []int // in the write-ahead log after each commit
}

func makeCommits(t *testing.T) *commits {
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
	rotate := func(ids []token.SessionID) (ops []*batch.Op[operation]) {
		for _, id := range ids {
			if at[id] > 0 {
				ops = append(ops, rotationOp(id, at[id]))
				at[id]++
			}
		}
		return ops
	}
	for _, id := range ids {
		at[id] = 1
	}
	const rotations = 2 * 4096 // twice as many as an uncompacted log may have
	for n := range rotations / len(ids) {
		s.commit(rotate(ids[:len(ids)-10*min(n, 1)])) // The last ten stay behind in the oldest rows.
	}
	if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA wal_checkpoint(RESTART)", nil); err != nil {
		t.Fatal(err)
	}
	r := &commits{ids: ids}
	record := func() {
		r.generations = append(r.generations, maps.Clone(at))
		r.frames = append(r.frames, walFrames(read(FileName+"-wal")))
	}
	for n := range 12 {
		ops := rotate(ids[n*5 : n*5+5+n*5])
		s.commit(append(ops, endOp(ids[n*7])))
		at[ids[n*7]] = 0
		record()
	}
	kept := ids[len(ids)-1]
	end := func(c *change) error { return c.endEpochs(1, kept) }
	purge := func(c *change) error { _, err := c.purge(100, &countedUsers{}); return err }
	for _, run := range []func(*change) error{end, purge, purge} {
		s.commit([]*batch.Op[operation]{{Value: operation{run: run}}, rotationOp(kept, at[kept])})
		at = map[token.SessionID]uint32{kept: at[kept] + 1}
		record()
	}
	oldest, err := queryOne(s.writer, "SELECT min(seq) FROM rotation_log", nil, scanNumber)
	if err != nil || oldest == 1 {
		t.Fatalf("no row of the rotation log was overwritten: the oldest is %d, %v", oldest, err)
	}
	r.db = read(FileName)
	r.wal = read(FileName + "-wal")
	return r
}

// check opens the files as a loss of power leaves them, with some whole frames in the write-ahead log. It expects the
// sessions as the last whole commit left them.
func (r *commits) check(t *testing.T, wal []byte, frames int) {
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
		mustBeAt(t, s, id, r.generations[last][id])
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestTornLog cuts the write-ahead log after and within each of its frames, and changes a byte of each. Every commit
// before the damage must be there, and none after it.
func TestTornLog(t *testing.T) {
	r := makeCommits(t)
	for frames := r.frames[0]; frames < r.frames[len(r.frames)-1] && !t.Failed(); frames++ {
		at := walHeader + frames*walFrame
		r.check(t, r.wal[:at], frames)
		r.check(t, r.wal[:at+1+frames*101%(walFrame-1)], frames)
		damaged := bytes.Clone(r.wal)
		damaged[at+frames*97%walFrame] ^= 1
		r.check(t, damaged, frames)
	}
	r.check(t, r.wal, r.frames[len(r.frames)-1])
}
