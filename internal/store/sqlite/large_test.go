package sqlite

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

var largeSessions = flag.Int("large", 5_000_000, "sessions of BenchmarkLarge")

const (
	largeCallers = 64
	largeRounds  = 5
	largeRound   = 4 * time.Second
	largeNow     = 1_795_500_000
)

func largeID(n int) (id token.SessionID) {
	source := rand.NewPCG(uint64(n), 1)
	binary.LittleEndian.PutUint64(id[:], source.Uint64())
	binary.LittleEndian.PutUint64(id[8:], source.Uint64())
	return id
}

func largeSession(n int) authority.SessionWithOrigin {
	return authority.SessionWithOrigin{
		Session: authority.Session{ID: largeID(n), UserID: int64(1 + n%1000), Generation: 1, Created: largeNow, Refreshed: largeNow,
			Expires: largeNow + 3600, Ends: largeNow + 30*24*3600},
		Origin: authority.Origin{IP: "203.0.113.77", UserAgent: "okhttp/4.12.0"},
	}
}

// largeFile makes the file as a long-running store leaves it: rows in the
// random order of logins, every session refreshed, and the log at its bound.
func largeFile(b *testing.B, dir string, sessions int) {
	s, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	for n := range 1000 {
		if _, err := s.CreateUser(b.Context(), authority.User{Login: fmt.Sprint(n), Level: authority.MailboxUser, Status: authority.Active}, "hash"); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	conn, err := sqlite.OpenConn(filepath.Join(dir, FileName), sqlite.OpenReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	run := func(sql string) {
		if err := sqlitex.Execute(conn, sql, nil); err != nil {
			b.Fatal(err)
		}
	}
	for _, p := range []string{"journal_mode=OFF", "synchronous=OFF", "cache_size=-4000000"} {
		run("PRAGMA " + p)
	}
	run("BEGIN")
	log := stepLog{oldest: 1}
	for n := range sessions {
		r := largeSession(n)
		if err := insertSession(conn, r, "hash"); err != nil {
			b.Fatal(err)
		}
	}
	move := func(n int, generation uint32) {
		e := pack(largeSession(n).Session)
		e.generation, e.refreshed, e.previous, e.retryKey = generation, largeNow+generation, largeNow+generation-1, authority.IdempotencyKeyHash{1, byte(n)}
		if err := log.add(conn, &e); err != nil {
			b.Fatal(err)
		}
	}
	for n := range sessions {
		move(n, 2)
	}
	for n := range sessions / 2 {
		move(n*2, 3)
	}
	if err := log.flush(conn); err != nil {
		b.Fatal(err)
	}
	run("COMMIT")
	run("PRAGMA journal_mode=WAL")
}

// refreshFor lets 64 callers refresh random sessions for a round, each its own
// ones, and returns how many it were in a second.
func refreshFor(b *testing.B, s *Store, generations []uint32) float64 {
	var total atomic.Int64
	var callers sync.WaitGroup
	begin := time.Now()
	for caller := range largeCallers {
		callers.Go(func() {
			own := len(generations) / largeCallers
			for n := int64(0); ; n++ {
				if time.Since(begin) > largeRound {
					total.Add(n)
					return
				}
				i := rand.IntN(own)*largeCallers + caller
				live, moved, err := s.Rotate(b.Context(), authority.Rotation{Session: largeID(i), From: generations[i],
					At: largeNow + 10, Expires: largeNow + 3610, IdempotencyKey: authority.IdempotencyKeyHash{2, byte(n)}})
				if err != nil || !moved {
					b.Errorf("session %d at %d: moved %v, %v", i, generations[i], moved, err)
					return
				}
				generations[i] = live.Session.Generation
			}
		})
	}
	callers.Wait()
	return float64(total.Load()) / time.Since(begin).Seconds()
}

// resident is the process's resident memory in bytes; 0 where it is not known.
func resident(b *testing.B) int64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(line, &kib); err != nil {
		b.Fatal(err)
	}
	return kib << 10
}

func largeGenerations(sessions int) []uint32 {
	g := make([]uint32, sessions)
	for i := range g {
		g[i] = 2
		if i%2 == 0 && i/2 < sessions/2 {
			g[i] = 3
		}
	}
	return g
}

// BenchmarkLarge gives the figures of a store of 5,000,000 sessions (-large),
// and the rate of refreshes beside one of 5,000 in the same run: make bench-large.
func BenchmarkLarge(b *testing.B) {
	const few = 5_000
	many := *largeSessions
	dirs := map[int]string{few: b.TempDir(), many: b.TempDir()}
	begin := time.Now()
	for sessions, dir := range dirs {
		largeFile(b, dir, sessions)
	}
	b.Logf("seeded in %v", time.Since(begin).Round(time.Second))
	size := func() float64 {
		info, err := os.Stat(filepath.Join(dirs[many], FileName))
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size()) / float64(many)
	}
	b.ReportMetric(size(), "disk-B/session")
	generations := map[int][]uint32{few: largeGenerations(few), many: largeGenerations(many)}
	stores := map[int]*Store{}
	open := func(sessions int) {
		s, err := Open(dirs[sessions])
		if err != nil {
			b.Fatal(err)
		}
		stores[sessions] = s
		live, err := s.Session(b.Context(), largeID(sessions-1))
		if err != nil || live.Session.Generation != generations[sessions][sessions-1] {
			b.Fatalf("%+v, %v", live, err)
		}
	}
	open(few)
	defer stores[few].Close()
	debug.FreeOSMemory()
	before := resident(b)
	begin = time.Now()
	open(many)
	b.ReportMetric(time.Since(begin).Seconds(), "start-s")
	stores[many].warming.Wait()
	b.Logf("all in memory after %v", time.Since(begin).Round(time.Millisecond))
	b.ReportMetric(float64(resident(b)-before)/float64(many), "resident-B/session")
	rates := map[int][]float64{}
	for range largeRounds {
		for sessions, s := range stores {
			rates[sessions] = append(rates[sessions], refreshFor(b, s, generations[sessions]))
		}
	}
	b.Logf("refreshes a second: %.0f with %d sessions, %.0f with %d", rates[few], few, rates[many], many)
	for _, r := range rates {
		slices.Sort(r)
	}
	b.ReportMetric(float64(resident(b)-before)/float64(many), "resident-after-B/session")
	b.ReportMetric(rates[few][largeRounds/2], "refreshes/s-few")
	b.ReportMetric(rates[many][largeRounds/2], "refreshes/s-many")
	b.ReportMetric(rates[many][largeRounds/2]/rates[few][largeRounds/2], "ratio")
	if err := stores[many].Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(size(), "disk-after-B/session")
}
