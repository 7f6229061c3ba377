package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

const testNow = 1_795_500_000

var oneHour = authority.Lives{Token: 3600, Idle: 3600}

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.lock.Locked() { // the test has not closed it
			s.Close()
		}
	})
	return s
}

// withSessions returns a store with one user and some sessions of that user.
func withSessions(t testing.TB, dir string, count int) (*Store, []token.SessionID) {
	t.Helper()
	s := mustOpen(t, dir)
	user := authority.User{Login: "a", Level: authority.MailboxUser, Status: authority.Active}
	u, err := s.CreateUser(t.Context(), authority.Rights{}, user, "hash")
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]token.SessionID, count)
	for i := range ids {
		ids[i] = token.SessionID{byte(i), byte(i >> 8), 1}
		r := authority.SessionWithOrigin{Session: authority.Session{
			ID:         ids[i],
			UserID:     u.ID,
			Generation: 1,
			Created:    testNow,
			Refreshed:  testNow,
			Expires:    testNow + 1,
			Idle:       testNow + 1,
			Ends:       testNow + 10_000,
		}}
		if _, err := s.OpenSession(t.Context(), openingOf(r)); err != nil {
			t.Fatal(err)
		}
	}
	return s, ids
}

// openingOf returns the opening of a session of a user with the password hash "hash", without a cap.
func openingOf(r authority.SessionWithOrigin) authority.Opening {
	return authority.Opening{SessionWithOrigin: r, PasswordHash: "hash"}
}

// sessionsOf lists the sessions of a user.
func sessionsOf(t *testing.T, s *Store, userID, at int64) ([]authority.SessionWithOrigin, error) {
	return s.Sessions(t.Context(), authority.SessionFilter{UserID: userID, Now: at, Limit: 1000})
}

// rotationOf returns the rotation of a session to the generation after from.
func rotationOf(id token.SessionID, from uint32) authority.Rotation {
	return authority.Rotation{
		Session:        id,
		From:           from,
		At:             testNow + int64(from) - 1, // before the first Idle
		Lives:          oneHour,
		IdempotencyKey: authority.IdempotencyKeyHash{byte(from)},
	}
}

func rotationOp(id token.SessionID, from uint32) *batch.Op[operation] {
	return &batch.Op[operation]{Value: operation{rotation: rotationOf(id, from)}}
}

func endOp(id token.SessionID) *batch.Op[operation] {
	end := func(c *change) error { return c.deleteSessions("id = ?", id[:]) }
	return &batch.Op[operation]{Value: operation{run: end, urgency: urgent}}
}

func mustBeAt(t *testing.T, s *Store, id token.SessionID, generation uint32) {
	t.Helper()
	live, err := s.Session(t.Context(), id)
	if errors.Is(err, fault.ErrNotFound) && generation == 0 {
		return
	}
	if err != nil || live.Session.Generation != generation {
		t.Errorf("session %v is at generation %d, %v; want %d", id, live.Session.Generation, err, generation)
	}
}

// TestTwoRotationsInOneBatch checks that an operation sees the earlier operations of its batch: the second rotation
// succeeds, and a third one from the generation of the first fails.
func TestTwoRotationsInOneBatch(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 1)
	ops := []*batch.Op[operation]{rotationOp(ids[0], 1), rotationOp(ids[0], 2), rotationOp(ids[0], 1)}
	s.commit(ops)
	for i, want := range []struct {
		rotated    bool
		generation uint32
	}{{true, 2}, {true, 3}, {false, 3}} {
		op := ops[i].Value
		if op.err != nil || op.rotated != want.rotated || op.session.Generation != want.generation {
			t.Errorf("operation %d: rotated %v, generation %d, %v", i, op.rotated, op.session.Generation, op.err)
		}
	}
	mustBeAt(t, s, ids[0], 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustBeAt(t, mustOpen(t, dir), ids[0], 3)
}

// TestRotationAfterEndInOneBatch checks that a session does not rotate after it ended in the same batch.
func TestRotationAfterEndInOneBatch(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 1)
	ops := []*batch.Op[operation]{rotationOp(ids[0], 1), endOp(ids[0]), rotationOp(ids[0], 2)}
	s.commit(ops)
	if err := ops[2].Value.err; !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a rotation after the end: %v", err)
	}
	mustBeAt(t, s, ids[0], 0)
}

// TestRotationAfterChangeOfKeyInOneBatch refreshes with an API key after an operation of the same batch that removes
// the key or suspends its user. The caches have the earlier state until the end of the batch.
func TestRotationAfterChangeOfKeyInOneBatch(t *testing.T) {
	for name, sql := range map[string]string{
		"removed":   "DELETE FROM api_key",
		"suspended": "UPDATE user SET status = " + fmt.Sprint(int(authority.Suspended)),
	} {
		s, ids := withSessions(t, t.TempDir(), 1)
		hash := authority.APIKeyHash{1}
		_, err := s.CreateAPIKey(t.Context(), authority.Rights{}, authority.APIKey{
			UserID: 1, Visibility: authority.Private, Scope: authority.FullScope,
		}, hash)
		if err != nil {
			t.Fatal(err)
		}
		rotate := func(from uint32) *batch.Op[operation] {
			op := rotationOp(ids[0], from)
			op.Value.rotation.APIKey = &authority.APIKeyCheck{Hash: hash}
			return op
		}
		change := &batch.Op[operation]{Value: operation{run: func(c *change) error { return execute(c.conn, sql) }}}
		ops := []*batch.Op[operation]{rotate(1), change, rotate(2)}
		s.commit(ops)
		for i, want := range []error{nil, nil, fault.ErrActorEnded} {
			if err := ops[i].Value.err; !errors.Is(err, want) {
				t.Errorf("%s, operation %d: %v, want %v", name, i, err, want)
			}
		}
		mustBeAt(t, s, ids[0], 2)
	}
}

// TestFailedOperationIsUndoneAlone checks that a failed operation changes nothing in the file, the sessions and the
// caches, while the rest of its batch succeeds.
func TestFailedOperationIsUndoneAlone(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 3)
	failure := errors.New("failed on purpose")
	fails := &batch.Op[operation]{Value: operation{run: func(c *change) error {
		c.user = &authority.User{ID: 1, Login: "wrong"}
		if err := c.deleteSessions("id = ?", ids[1][:]); err != nil {
			t.Error(err)
		}
		return failure
	}}}
	ops := []*batch.Op[operation]{rotationOp(ids[0], 1), fails, endOp(ids[2])}
	s.commit(ops)
	for i, want := range []error{nil, failure, nil} {
		if err := ops[i].Value.err; !errors.Is(err, want) {
			t.Errorf("operation %d: %v, want %v", i, err, want)
		}
	}
	check := func(s *Store) {
		t.Helper()
		for i, generation := range []uint32{2, 1, 0} {
			mustBeAt(t, s, ids[i], generation)
		}
		if u, err := s.User(t.Context(), 1); err != nil || u.Login != "a" {
			t.Errorf("the user is %+v, %v", u, err)
		}
		if records, err := sessionsOf(t, s, 1, testNow); err != nil || len(records) != 2 {
			t.Errorf("the sessions are %+v, %v", records, err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(mustOpen(t, dir))
}

// TestCachesFollowCommits checks that a cached user or API key changes with the row.
func TestCachesFollowCommits(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	hash := authority.APIKeyHash{1}
	mustBe := func(login string, withKey bool) {
		t.Helper()
		for range 2 { // The second time, they come from the cache.
			u, err := s.User(t.Context(), 1)
			if login == "" && !errors.Is(err, fault.ErrNotFound) || login != "" && (err != nil || u.Email != login) {
				t.Errorf("the user is %+v, %v; want %q", u, err, login)
			}
			if _, _, err := s.APIKeyByHash(t.Context(), hash); withKey != (err == nil) {
				t.Errorf("the API key: %v, want one: %v", err, withKey)
			}
		}
	}
	mustSucceed := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fill := func() {
		t.Helper()
		user := authority.User{ID: 1, Login: "a", Email: "first", Level: authority.General, Status: authority.Active}
		mustSucceed(s.WriteUsers(t.Context(), []authority.UserWithHash{{User: user}}))
		_, err := s.CreateAPIKey(t.Context(), authority.Rights{}, authority.APIKey{UserID: 1}, hash)
		mustSucceed(err)
		mustBe("first", true)
	}
	mustSucceed(s.BeginCopy(t.Context()))
	fill()
	mustSucceed(s.BeginCopy(t.Context())) // It empties the store.
	mustBe("", false)
	fill()
	second, terminated := "second", authority.Terminated
	_, err := s.UpdateUser(t.Context(), authority.Rights{}, 1, authority.UserChange{Email: &second})
	mustSucceed(err)
	mustBe("second", true)
	_, err = s.UpdateUser(t.Context(), authority.Rights{}, 1, authority.UserChange{Status: &terminated})
	mustSucceed(err)
	mustBe("second", false)
	if u, err := s.User(t.Context(), 1); err != nil || u.Status != authority.Terminated {
		t.Errorf("the user is %+v, %v", u, err)
	}
}

// TestManyEndsLeaveNothing checks that sessions ended and removed in one operation each leave nothing in memory.
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
	if _, err := s.EndSessions(t.Context(), authority.Rights{}, 1, authority.EndOptions{}); err != nil {
		t.Fatal(err)
	}
	if removed, _, err := s.Purge(t.Context(), 2*len(rows)); err != nil || removed != len(rows)+1 {
		t.Fatalf("the purge removed %d sessions, %v", removed, err)
	}
	if more := heapAlloc() - before; more > 2<<20 {
		t.Errorf("%d ended sessions leave %d bytes in memory", len(rows), more)
	}
	runtime.KeepAlive(rows)
}

// heapAlloc returns the size of the live heap in bytes.
func heapAlloc() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLargestBatch commits the largest batch of rotations repeatedly, so that commits also compact the rotation log. No
// commit writes a fourth of the pages after which SQLite runs a checkpoint, so it needs no mark of the log.
func TestLargestBatch(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, maxBatchSize)
	if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA wal_autocheckpoint=0", nil); err != nil {
		t.Fatal(err)
	}
	walSize := func() int64 {
		info, err := os.Stat(filepath.Join(dir, FileName+"-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	const rounds, pageSize = 8, 4096
	for round := range uint32(rounds) {
		ops := make([]*batch.Op[operation], len(ids))
		for i, id := range ids {
			ops[i] = rotationOp(id, round+1)
		}
		before := walSize()
		s.commit(ops)
		for i := range ops {
			if o := &ops[i].Value; o.err != nil || !o.rotated {
				t.Fatalf("round %d, rotation %d: rotated %v, %v", round, i, o.rotated, o.err)
			}
		}
		if pages := (walSize() - before) / pageSize; pages > checkpointPages/4 {
			t.Errorf("round %d wrote %d pages, want at most %d", round, pages, checkpointPages/4)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	for _, id := range ids {
		mustBeAt(t, s, id, rounds+1)
	}
}

// TestBatchOfChanges queues changes while a commit runs. A batch has room for fewer changes than rotations, so that a
// batch of revocations fits into the reserve.
func TestBatchOfChanges(t *testing.T) {
	const changes = 400
	s := mustOpen(t, t.TempDir())
	entered, release := make(chan struct{}), make(chan struct{})
	var sizes []int // written by the one committer, read after Close
	s.group.Close()
	s.group = batch.New(maxBatchSize, 1, gatherTime, func(ops []*batch.Op[operation]) {
		if sizes = append(sizes, len(ops)); len(sizes) == 1 {
			close(entered)
			<-release
		}
		s.commit(ops)
	})
	var callers sync.WaitGroup
	for i := range changes {
		callers.Go(func() {
			write := func(*change) error { return nil }
			read := func(*change) (int, error) { return 0, nil }
			if i%2 == 0 {
				if err := s.write(t.Context(), urgent, write); err != nil {
					t.Error(err)
				}
			} else if _, err := tx(t.Context(), s, urgent, read); err != nil {
				t.Error(err)
			}
		})
	}
	<-entered
	close(release)
	callers.Wait()
	s.group.Close()
	if largest := slices.Max(sizes); largest > maxBatchSize/changeWeight {
		t.Errorf("a batch has %d changes, want at most %d", largest, maxBatchSize/changeWeight)
	}
}

// BenchmarkSlowFlush measures rotations on a disk whose flush takes 5 ms. A batch has room for 512 callers today, and
// not for 4,096. The batches have at most 256 rotations, as they had, or as many as today.
func BenchmarkSlowFlush(b *testing.B) {
	for _, callers := range []int{512, 2 * maxBatchSize} {
		for _, limit := range []int{256, maxBatchSize} {
			b.Run(fmt.Sprintf("callers=%d/limit=%d", callers, limit), func(b *testing.B) {
				dir := b.TempDir()
				s, ids := withSessions(b, dir, callers)
				s.group.Close()
				s.group = batch.New(limit, 1, gatherTime, func(ops []*batch.Op[operation]) {
					s.commit(ops)
					time.Sleep(5 * time.Millisecond)
				})
				var next atomic.Int64
				b.SetParallelism(len(ids) / runtime.GOMAXPROCS(0))
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					id := ids[int(next.Add(1)-1)%len(ids)]
					for n := uint32(1); pb.Next(); n++ {
						if _, rotated, err := s.Rotate(b.Context(), rotationOf(id, n)); err != nil || !rotated {
							b.Errorf("rotated %v, %v", rotated, err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rotations/s")
			})
		}
	}
}

// BenchmarkCommitter measures the goroutine that commits, without callers: commits of this many rotations in turn.
func BenchmarkCommitter(b *testing.B) {
	for _, size := range []int{1, 8, 64, 256, maxBatchSize} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, ids := withSessions(b, b.TempDir(), size)
			ops := make([]*batch.Op[operation], size)
			rotations := 0
			for n := uint32(1); b.Loop(); n++ {
				for i, id := range ids {
					ops[i] = rotationOp(id, n)
					ops[i].Value.rotation.At = testNow // the sessions end after 10,000 s
				}
				s.commit(ops)
				for _, op := range ops {
					if op.Value.err != nil || !op.Value.rotated {
						b.Fatalf("rotated %v, %v", op.Value.rotated, op.Value.err)
					}
				}
				rotations += size
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rotations), "ns/rotation")
			b.ReportMetric(float64(rotations)/b.Elapsed().Seconds(), "rotations/s")
		})
	}
}

// TestFullDisk checks that a failed write of a batch leaves the file and the memory as they were.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 200)
	limit := func(pages string) {
		if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA max_page_count="+pages, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite raises it to the present number of pages.
	ops := make([]*batch.Op[operation], len(ids))
	for i, id := range ids {
		ops[i] = rotationOp(id, 1)
	}
	s.commit(ops)
	for i, id := range ids {
		if err := ops[i].Value.err; !errors.Is(err, fault.ErrUnavailable) {
			t.Fatalf("operation %d on a full disk: %v", i, err)
		}
		mustBeAt(t, s, id, 1)
	}
	limit("1000000")
	again := []*batch.Op[operation]{rotationOp(ids[0], 1)}
	s.commit(again)
	if again[0].Value.err != nil || !again[0].Value.rotated {
		t.Errorf("with space again: rotated %v, %v", again[0].Value.rotated, again[0].Value.err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	mustBeAt(t, s, ids[0], 2)
	mustBeAt(t, s, ids[1], 1)
}

// TestCompactionUnderLoad rotates, lists and ends sessions at once until the log has been compacted many times. Then it
// opens a copy of the files as a crash would leave them.
func TestCompactionUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s, ids := withSessions(t, dir, 100)
	var group sync.WaitGroup
	want := make([]uint32, len(ids))
	for i, id := range ids {
		group.Go(func() {
			rotations := 300
			if i%10 == 0 {
				rotations = 1 // The session stays behind in the oldest rows.
			}
			for g := range uint32(rotations) {
				live, rotated, err := s.Rotate(t.Context(), rotationOf(id, g+1))
				if err != nil || !rotated {
					t.Errorf("session %d: rotated %v, %v", i, rotated, err)
					return
				}
				want[i] = live.Session.Generation
			}
			if i%7 == 0 {
				if err := s.EndSession(t.Context(), authority.Rights{}, id); err != nil {
					t.Error(err)
				}
				want[i] = 0
			}
			if _, err := sessionsOf(t, s, 1, testNow); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	const logFloor = 4096 // as in sessionlog
	if records := int(s.Stats().Records); records > logFloor+len(ids)*3/2+500 {
		t.Errorf("the log has %d records", records)
	}
	after := mustOpen(t, copyFiles(t, dir))
	for i, id := range ids {
		mustBeAt(t, s, id, want[i])
		mustBeAt(t, after, id, want[i])
	}
	page, err := after.ReadSessions(t.Context(), token.SessionID{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page {
		if i := int(r.ID[0]); r.Generation != want[i] {
			t.Errorf("ReadSessions has session %d at generation %d, want %d", i, r.Generation, want[i])
		}
	}
	if ended, _, err := after.Sweep(t.Context(), testNow+3000, 1000); err != nil || len(ended) > 0 {
		t.Errorf("the sweep ended refreshed sessions: %v, %v", ended, err)
	}
}

// copyFiles copies the files of a store in use, and returns the folder of the copy.
func copyFiles(t *testing.T, dir string) string {
	t.Helper()
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
	return copied
}

// TestDamagedLogIsRejected checks that Open rejects a damaged rotation log.
func TestDamagedLogIsRejected(t *testing.T) {
	tests := map[string]string{
		"truncated row":   "UPDATE rotation_log SET records = substr(records, 1, 100) WHERE slot = 1",
		"empty row":       "UPDATE rotation_log SET records = x'' WHERE slot = 1",
		"overwritten row": "UPDATE rotation_log SET records = randomblob(4048) WHERE slot = 2",
		"one byte": "UPDATE rotation_log SET records = " +
			"CAST(substr(records, 1, 20) || x'5a' || substr(records, 22) AS BLOB) WHERE slot = 1",
		"missing row":    "DELETE FROM rotation_log WHERE slot = 2",
		"missing column": "ALTER TABLE rotation_log RENAME COLUMN seq TO number",
	}
	for name, sql := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, ids := withSessions(t, dir, 200)
			ops := make([]*batch.Op[operation], len(ids))
			for i, id := range ids {
				ops[i] = rotationOp(id, 1)
			}
			s.commit(ops)
			if err := sqlitex.ExecuteTransient(s.writer, sql, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Options{})
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
				t.Errorf("error %v", err)
			}
		})
	}
}
