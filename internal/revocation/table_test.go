package revocation_test

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

const tokenLife = time.Hour

// tableClock is a clock that stands still until add moves it.
type tableClock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func newTableClock() *tableClock { return &tableClock{now: time.Unix(1_800_000_000, 0)} }

func (c *tableClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *tableClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func sessionID(n uint64) (id token.SessionID) {
	binary.BigEndian.PutUint64(id[8:], n+1)
	return id
}

// reference is a Table as plain maps that never forget.
type reference struct {
	lowest map[token.SessionID]uint32
	ended  map[token.SessionID]bool
	marks  map[int64]int64
	since  map[int64]revocation.Stamp // the stamp when the last mark of a user had arrived
	epoch  revocation.Stamp
	hello  int64
}

func newReference(stamp revocation.Stamp, hello time.Time) *reference {
	return &reference{
		lowest: map[token.SessionID]uint32{}, ended: map[token.SessionID]bool{}, marks: map[int64]int64{},
		since: map[int64]revocation.Stamp{}, epoch: stamp, hello: hello.Unix(),
	}
}

func (r *reference) check(k revocation.Token) revocation.Verdict {
	marked := false
	for _, user := range []int64{k.UserID, k.ActorID} {
		mark, ok := r.marks[user]
		marked = marked || ok && k.IssuedAt <= mark+5 && k.Confirmed < r.since[user]
	}
	switch {
	case r.ended[k.Session] || k.Generation < r.lowest[k.Session]:
		return revocation.Dead
	case k.Expires-k.IssuedAt > int64(tokenLife/time.Second):
		return revocation.Ask
	case marked:
		return revocation.Ask
	case k.Confirmed < r.epoch && k.IssuedAt <= r.hello+5:
		return revocation.Ask
	}
	return revocation.Live
}

// TestTableLikeMaps applies random events to a table and to plain maps. Both must decide alike about every token that
// has not expired, however much time passes.
func TestTableLikeMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := newTableClock()
		table := revocation.NewTable(revocation.TableConfig{Clock: now.read})
		table.Begin(now.read(), tokenLife)
		same := newReference(table.Now(), now.read())
		id := rapid.Uint64Range(0, 4000)
		user := rapid.Int64Range(1, 5)
		generation := rapid.OneOf(rapid.Uint32Range(0, 4), rapid.Just[uint32](math.MaxUint32))
		t.Repeat(map[string]func(*rapid.T){
			"session": func(t *rapid.T) {
				s, g := sessionID(id.Draw(t, "id")), generation.Draw(t, "generation")
				table.ApplySession(s, g)
				same.ended[s] = same.ended[s] || g == 0 || g == math.MaxUint32
				same.lowest[s] = max(same.lowest[s], g)
			},
			"burst": func(t *rapid.T) { // grows every shard
				first := id.Draw(t, "first")
				for n := first; n < first+3000; n++ {
					table.ApplySession(sessionID(n), 2)
					same.lowest[sessionID(n)] = max(same.lowest[sessionID(n)], 2)
				}
			},
			"reject": func(t *rapid.T) {
				s, g := sessionID(id.Draw(t, "id")), generation.Draw(t, "generation")
				table.Reject(s, g)
				same.ended[s] = same.ended[s] || g == math.MaxUint32
				same.lowest[s] = max(same.lowest[s], g, g+1)
			},
			"user": func(t *rapid.T) {
				u, second := user.Draw(t, "user"), now.read().Unix()+rapid.Int64Range(-9, 9).Draw(t, "second")
				table.ApplyUser(u, second)
				same.marks[u] = max(same.marks[u], second)
				same.since[u] = table.Now()
			},
			"hello": func(t *rapid.T) {
				table.Begin(now.read(), tokenLife)
				same = newReference(table.Now(), now.read())
			},
			"time":  func(t *rapid.T) { now.add(time.Duration(rapid.IntRange(0, 1800).Draw(t, "s")) * time.Second) },
			"sweep": func(*rapid.T) { table.Sweep() },
			"": func(t *rapid.T) {
				age := rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(0, 4000)).Draw(t, "age")
				issued := now.read().Unix() - age
				k := revocation.Token{
					Session: sessionID(id.Draw(t, "id")), Generation: generation.Draw(t, "generation"),
					UserID: user.Draw(t, "user"), IssuedAt: issued,
					ActorID:   rapid.Int64Range(0, 5).Draw(t, "actor"),
					Expires:   issued + rapid.Int64Range(1, 3700).Draw(t, "life"),
					Confirmed: revocation.Stamp(rapid.Uint64Range(0, uint64(table.Now())).Draw(t, "confirmed")),
				}
				long := k.Expires-k.IssuedAt > int64(tokenLife/time.Second) // its entry may be forgotten
				got, want := table.Check(k), same.check(k)
				if now.read().Unix() < k.Expires && got != want && !(long && got == revocation.Ask) {
					t.Fatalf("Check(%+v) = %d, want %d", k, got, want)
				}
			},
		})
	})
}

// TestTableBounded fills a table. It must never need more entries than permitted, and must ask about every token once
// it has lost one.
func TestTableBounded(t *testing.T) {
	now := newTableClock()
	table := revocation.NewTable(revocation.TableConfig{MaxEntries: 1000, Clock: now.read})
	table.Begin(now.read(), tokenLife)
	for n := range uint64(1000) {
		table.ApplySession(sessionID(n), 0)
	}
	issued := now.read().Unix() + 60
	of := func(n uint64) revocation.Token {
		return revocation.Token{Session: sessionID(n), Generation: 1, UserID: 7, IssuedAt: issued, Expires: issued + 60}
	}
	if got := table.Check(of(999)); got != revocation.Dead {
		t.Fatalf("the last of 1,000 sessions: %d, want Dead", got)
	}
	table.ApplyUser(9, issued)
	if got := table.Stats(); got.Entries != 1 || got.Resets != 1 {
		t.Fatalf("after the entry 1,001: %+v, want one entry and one reset", got)
	}
	if got := table.Check(of(999)); got != revocation.Ask {
		t.Errorf("a forgotten session: %d, want Ask", got)
	}
	confirmed := of(5000)
	confirmed.Confirmed = table.Now()
	if got := table.Check(confirmed); got != revocation.Live {
		t.Errorf("a session confirmed since: %d, want Live", got)
	}
	table.Beat(now.read().Add(30 * time.Second))
	if got := table.Check(of(5000)); got != revocation.Live {
		t.Errorf("a token issued 30 s after the beat: %d, want Live", got)
	}

	now.add(tokenLife + 2*time.Minute)
	for n := range uint64(1000) {
		table.ApplySession(sessionID(n), 2)
	}
	if got := table.Stats(); got.Entries > 1000 || got.Resets != 1 {
		t.Errorf("after the tokens had expired: %+v, want no other reset", got)
	}
}

// TestTableFullAfterSetBack fills a table whose hello is later than its beats, because the clock of the server was set
// back. A token from before the hello needs a confirmation after the table has forgotten it, too.
func TestTableFullAfterSetBack(t *testing.T) {
	now := newTableClock()
	table := revocation.NewTable(revocation.TableConfig{MaxEntries: 1, Clock: now.read})
	hello := now.read().Add(10 * time.Minute)
	table.Begin(hello, tokenLife)
	table.ApplySession(sessionID(1), 2)
	table.ApplySession(sessionID(2), 2)
	if got := table.Stats().Resets; got != 1 {
		t.Fatalf("%d resets, want 1", got)
	}
	table.Beat(now.read())
	issued := hello.Unix() - 1
	k := revocation.Token{Session: sessionID(1), Generation: 1, UserID: 7, IssuedAt: issued, Expires: issued + 60}
	if got := table.Check(k); got != revocation.Ask {
		t.Errorf("a token from before the hello: %d, want Ask", got)
	}
}

// TestTableForgets lets all entries expire. The sweeps must free their memory.
func TestTableForgets(t *testing.T) {
	now := newTableClock()
	table := revocation.NewTable(revocation.TableConfig{Clock: now.read})
	table.Begin(now.read(), tokenLife)
	for n := range uint64(10_000) {
		table.ApplySession(sessionID(n), 2)
		table.ApplyUser(int64(n), now.read().Unix())
	}
	now.add(tokenLife + 2*time.Minute)
	for range 256 {
		table.Sweep()
	}
	if got := table.Stats().Entries; got != 0 {
		t.Errorf("%d entries are left", got)
	}
}

// TestTableConcurrent applies events and looks tokens up at the same time. A token whose event was applied must be dead
// from then on.
func TestTableConcurrent(t *testing.T) {
	table := revocation.NewTable(revocation.TableConfig{})
	table.Begin(time.Now(), tokenLife)
	issued := time.Now().Unix() + 60
	var group sync.WaitGroup
	for worker := range uint64(4) {
		group.Go(func() {
			for n := range uint64(2000) {
				id := sessionID(worker<<32 | n)
				k := revocation.Token{Session: id, Generation: 1, UserID: 1, IssuedAt: issued, Expires: issued + 60}
				if got := table.Check(k); got != revocation.Live {
					t.Errorf("before the event: %d, want Live", got)
				}
				table.ApplySession(id, 2)
				if got := table.Check(k); got != revocation.Dead {
					t.Errorf("after the event: %d, want Dead", got)
				}
				table.Sweep()
			}
		})
	}
	group.Wait()
}

// TestTableMemory changes a million sessions an hour, for two hours, and prints the memory of the table. It also
// measures tables of several sizes, because the load of a shard depends on the size.
func TestTableMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("fills large tables")
	}
	const limit = 40
	for _, entries := range []uint64{300_000, 1_000_000} {
		before := liveHeap()
		table := revocation.NewTable(revocation.TableConfig{})
		table.Begin(time.Now(), tokenLife)
		for n := range entries {
			table.ApplySession(sessionID(n), 2)
		}
		each := float64(liveHeap()-before) / float64(entries)
		t.Logf("%d sessions: %.1f bytes each", entries, each)
		if each > limit {
			t.Errorf("%d sessions need %.1f bytes each, at most %d", entries, each, limit)
		}
		runtime.KeepAlive(table)
	}
	const (
		million = 1_000_000
		hours   = 2
		most    = 64 << 20
	)
	before := liveHeap()
	now := newTableClock()
	table := revocation.NewTable(revocation.TableConfig{Clock: now.read})
	table.Begin(now.read(), tokenLife)
	largest := int64(0)
	for n := range uint64(hours * million) {
		table.ApplySession(sessionID(n), 2)
		if n%(million/36_000) == 0 { // 10 times a second
			now.add(time.Hour / 36_000)
			table.Sweep()
		}
		if n%(million/10) == 0 {
			largest = max(largest, liveHeap()-before)
		}
	}
	t.Logf("a million changes an hour, for %d hours: %.1f MiB at most", hours, float64(largest)/(1<<20))
	if largest > most {
		t.Errorf("the table needs %d bytes, at most %d", largest, most)
	}
	runtime.KeepAlive(table)
}

// liveHeap returns the bytes in use after a garbage collection. The difference of two results is negative if an earlier
// test has released more than was added.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// BenchmarkTableCheck looks up known sessions among a million with 8 goroutines for each processor.
func BenchmarkTableCheck(b *testing.B) {
	table := revocation.NewTable(revocation.TableConfig{})
	table.Begin(time.Now(), tokenLife)
	issued := time.Now().Unix() + 60
	for n := range uint64(1_000_000) {
		table.ApplySession(sessionID(n), 2)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for n := uint64(0); pb.Next(); n += 7919 {
			k := revocation.Token{
				Session: sessionID(n % 1_000_000), Generation: 2,
				UserID: int64(n), IssuedAt: issued, Expires: issued + 60,
			}
			if table.Check(k) != revocation.Live {
				b.Error("a live token is rejected")
				return
			}
		}
	})
}
