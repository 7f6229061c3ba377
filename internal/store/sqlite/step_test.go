package sqlite

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

const testNow = 1_795_500_000

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.lock.Locked() { // not closed by the test yet
			s.Close()
		}
	})
	return s
}

// withSessions returns a store with one user and sessions of it.
func withSessions(t *testing.T, dir string, count int) (*Store, []token.SessionID) {
	t.Helper()
	s := mustOpen(t, dir)
	u, err := s.CreateUser(t.Context(), authority.User{Login: "a", Level: authority.Root, Status: authority.Active}, "hash")
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]token.SessionID, count)
	for i := range ids {
		ids[i] = token.SessionID{byte(i), byte(i >> 8), 1}
		r := authority.SessionWithOrigin{Session: authority.Session{ID: ids[i], UserID: u.ID, Generation: 1, Created: testNow, Refreshed: testNow, Expires: testNow + 1, Ends: testNow + 10_000}}
		if err := s.OpenSession(t.Context(), r, "hash"); err != nil {
			t.Fatal(err)
		}
	}
	return s, ids
}

func move(id token.SessionID, from uint32) *batch.Op[write] {
	return &batch.Op[write]{Value: write{rotation: authority.Rotation{Session: id, From: from, At: testNow + int64(from), Expires: testNow + 3600, IdempotencyKey: authority.IdempotencyKeyHash{byte(from)}}}}
}

func mustBeAt(t *testing.T, s *Store, id token.SessionID, generation uint32) {
	t.Helper()
	live, err := s.Session(t.Context(), id)
	if errors.Is(err, fault.ErrNotFound) && generation == 0 {
		return
	}
	if err != nil || live.Session.Generation != generation {
		t.Errorf("session %v is at %d, %v; want %d", id, live.Session.Generation, err, generation)
	}
}

// TestTwoMovesInOneBatch: the second sees the first, and a third of the same
// generation as the first loses.
func TestTwoMovesInOneBatch(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 1)
	ops := []*batch.Op[write]{move(ids[0], 1), move(ids[0], 2), move(ids[0], 1)}
	s.commit(ops)
	for i, want := range []struct {
		moved      bool
		generation uint32
	}{{true, 2}, {true, 3}, {false, 3}} {
		if w := ops[i].Value; w.err != nil || w.moved != want.moved || w.session.Generation != want.generation {
			t.Errorf("op %d: moved %v to %d, %v", i, w.moved, w.session.Generation, w.err)
		}
	}
	mustBeAt(t, s, ids[0], 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustBeAt(t, mustOpen(t, dir), ids[0], 3)
}

// TestMoveAfterEndInOneBatch: what ended earlier in the batch does not move.
func TestMoveAfterEndInOneBatch(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 1)
	end := &batch.Op[write]{}
	end.Value.run = endOf("id = ?", ids[0][:])
	ops := []*batch.Op[write]{move(ids[0], 1), end, move(ids[0], 2)}
	s.commit(ops)
	if err := ops[2].Value.err; !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a move after the end: %v", err)
	}
	mustBeAt(t, s, ids[0], 0)
}

// TestManyEndsLeaveNothing: what one step ends takes no memory after it.
func TestManyEndsLeaveNothing(t *testing.T) {
	s, _ := withSessions(t, t.TempDir(), 1)
	rows := make([]authority.SessionWithOrigin, 50_000)
	for i := range rows {
		rows[i] = largeSession(i)
		rows[i].UserID = 1
	}
	before := heapAlloc()
	if err := s.WriteSessions(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if err := s.EndSessions(t.Context(), 1, token.SessionID{}); err != nil {
		t.Fatal(err)
	}
	if more := heapAlloc() - before; more > 2<<20 {
		t.Errorf("%d sessions that ended leave %d bytes in memory", len(rows), more)
	}
	runtime.KeepAlive(rows)
}

// heapAlloc is how many bytes live in the heap.
func heapAlloc() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFullDisk: a batch that cannot be written leaves file and memory as they were.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 200)
	limit := func(pages string) {
		if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA max_page_count="+pages, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite takes it for the pages that there are
	ops := make([]*batch.Op[write], len(ids))
	for i, id := range ids {
		ops[i] = move(id, 1)
	}
	s.commit(ops)
	for i, id := range ids {
		if err := ops[i].Value.err; !errors.Is(err, fault.ErrUnavailable) {
			t.Fatalf("op %d on a full disk: %v", i, err)
		}
		mustBeAt(t, s, id, 1)
	}
	limit("1000000")
	again := []*batch.Op[write]{move(ids[0], 1)}
	if s.commit(again); again[0].Value.err != nil || !again[0].Value.moved {
		t.Errorf("with room again: moved %v, %v", again[0].Value.moved, again[0].Value.err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	mustBeAt(t, s, ids[0], 2)
	mustBeAt(t, s, ids[1], 1)
}

// TestShortenUnderLoad refreshes, lists and ends at once, far past the log's
// floor, and then opens a copy of the files as a crash would leave them.
func TestShortenUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 100)
	var group sync.WaitGroup
	want := make([]uint32, len(ids))
	for i, id := range ids {
		group.Go(func() {
			turns := 300
			if i%10 == 0 {
				turns = 1 // left behind in the oldest rows
			}
			for g := range uint32(turns) {
				live, moved, err := s.Rotate(t.Context(), move(id, g+1).Value.rotation)
				if err != nil || !moved {
					t.Errorf("%d: moved %v, %v", i, moved, err)
					return
				}
				want[i] = live.Session.Generation
			}
			if i%7 == 0 {
				if err := s.EndSession(t.Context(), id); err != nil {
					t.Error(err)
				}
				want[i] = 0
			}
			if _, err := s.Sessions(t.Context(), 1, testNow); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if s.log.records > logFloor+len(ids)*3/2+500 {
		t.Errorf("the log has %d records", s.log.records)
	}
	copied := t.TempDir()
	for _, name := range []string{FileName, FileName + "-wal"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	after := mustOpen(t, copied)
	for i, id := range ids {
		mustBeAt(t, s, id, want[i])
		mustBeAt(t, after, id, want[i])
	}
	page, err := after.records(t.Context(), token.SessionID{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page {
		if i := int(r.ID[0]); r.Generation != want[i] {
			t.Errorf("records has session %d at %d, want %d", i, r.Generation, want[i])
		}
	}
	if removed, _, err := after.Sweep(t.Context(), testNow+3000, 1000); err != nil || removed != 0 {
		t.Errorf("the sweep took %d sessions that moved on, %v", removed, err)
	}
}

func TestDamagedLogIsRefused(t *testing.T) {
	for name, sql := range map[string]string{
		"cut off":     "UPDATE rotation_log SET records = substr(records, 1, 100) WHERE slot = 1",
		"empty":       "UPDATE rotation_log SET records = x'' WHERE slot = 1",
		"overwritten": "UPDATE rotation_log SET records = randomblob(4048) WHERE slot = 2",
		"one byte":    "UPDATE rotation_log SET records = CAST(substr(records, 1, 20) || x'5a' || substr(records, 22) AS BLOB) WHERE slot = 1",
		"a gap":       "DELETE FROM rotation_log WHERE slot = 2",
		"no column":   "ALTER TABLE rotation_log RENAME COLUMN seq TO number",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, ids := withSessions(t, dir, 200)
			ops := make([]*batch.Op[write], len(ids))
			for i, id := range ids {
				ops[i] = move(id, 1)
			}
			s.commit(ops)
			if err := sqlitex.ExecuteTransient(s.writer, sql, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(dir); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
				if err == nil {
					s.Close()
				}
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestTable holds the table to a map, over 100,000 random puts and drops.
func TestTable(t *testing.T) {
	var table table
	want := map[token.SessionID]uint32{}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range uint32(100_000) {
		id := token.SessionID{1 + byte(random.IntN(200)), byte(random.IntN(4))}
		if n/20_000%2 == 1 || random.IntN(3) == 0 {
			if _, had := want[id]; table.drop(&id) != had {
				t.Fatalf("drop %v: had %v", id, had)
			}
			delete(want, id)
			continue
		}
		if _, had := want[id]; table.put(&entry{id: id, generation: n + 1}) == had {
			t.Fatalf("put %v: had %v", id, had)
		}
		want[id] = n + 1
		if table.count != len(want) {
			t.Fatalf("count %d, want %d", table.count, len(want))
		}
	}
	for id, generation := range want {
		if e, ok := table.get(&id); !ok || e.generation != generation {
			t.Errorf("%v: %d, %v", id, e.generation, ok)
		}
	}
}
