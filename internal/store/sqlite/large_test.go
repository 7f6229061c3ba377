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

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/token"
)

var largeSessions = flag.Int("large", 5_000_000, "sessions of BenchmarkLarge")

const (
	fewSessions  = 5_000
	fewUsers     = 1_000
	largeCallers = 64
	largeRounds  = 5
	largeRound   = 4 * time.Second
	largeNow     = 1_795_500_000
)

func largeID(n int) token.SessionID {
	var id token.SessionID
	source := rand.NewPCG(uint64(n), 1)
	binary.LittleEndian.PutUint64(id[:], source.Uint64())
	binary.LittleEndian.PutUint64(id[8:], source.Uint64())
	return id
}

func largeUser(n int) authority.UserWithHash {
	login := fmt.Sprintf("user%07d@example.com", n)
	return authority.UserWithHash{
		User: authority.User{
			ID:        int64(n + 1),
			Login:     login,
			Email:     login,
			FirstName: fmt.Sprintf("First%d", n%1000),
			LastName:  fmt.Sprintf("Lastname%d", n%10_000),
			Tenant:    authority.Tenant{NetworkID: int64(n % 1000), MailboxID: int64(n)},
			Level:     authority.MailboxUser,
			Status:    authority.Active,
			Created:   largeNow,
		},
		PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + strings.Repeat("A", 43),
	}
}

func largeSession(n int) authority.SessionWithOrigin {
	return authority.SessionWithOrigin{
		Session: authority.Session{
			ID:         largeID(n),
			UserID:     int64(n + 1),
			Generation: 1,
			Created:    largeNow,
			Refreshed:  largeNow,
			Expires:    largeNow + 3600,
			Idle:       largeNow + 3600,
			Ends:       largeNow + 30*24*3600,
		},
		Origin: authority.Origin{IP: "203.0.113.77", UserAgent: "okhttp/4.12.0"},
	}
}

// largeGeneration returns the generation of a session in largeFile.
func largeGeneration(n int) uint32 { return 2 + uint32(1-n%2) }

// largeFile makes the file as a long-running store leaves it: rows in the random order of sign-ins, every session
// refreshed at least once, and the log at its bound. It returns the size of the file before it had sessions.
func largeFile(b *testing.B, dir string, sessions, users int) int64 {
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	conn, err := sqlite.OpenConn(filepath.Join(dir, FileName), sqlite.OpenReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	run := func(sql string, a ...any) {
		if err := execute(conn, sql, a...); err != nil {
			b.Fatal(err)
		}
	}
	for _, p := range []string{"journal_mode=OFF", "synchronous=OFF", "cache_size=-4000000"} {
		run("PRAGMA " + p)
	}
	run("BEGIN")
	for n := range users {
		user := largeUser(n)
		run(insertUser, userValues(&user)...)
	}
	run("COMMIT")
	before := fileSize(b, dir)
	run("BEGIN")
	for n := range sessions {
		session := largeSession(n)
		session.UserID = int64(n%users + 1)
		run(insertSession, sessionValues(&session)...)
	}
	largeLog(b, conn, sessions, users)
	run("COMMIT")
	run("PRAGMA journal_mode=WAL")
	return before
}

// largeLog opens and rotates all sessions in the rotation log.
func largeLog(b *testing.B, conn *sqlite.Conn, sessions, users int) {
	log, err := sessionlog.Load(logRows{conn}, nil)
	if err != nil {
		b.Fatal(err)
	}
	const perCommit = 100
	for generation := uint32(1); generation <= 3; generation++ {
		for first := 0; first < sessions; first += perCommit {
			batch := log.Begin()
			for n := first; n < min(first+perCommit, sessions); n++ {
				if generation > largeGeneration(n) {
					continue
				}
				state := largeSession(n).Session
				state.UserID = int64(n%users + 1)
				state.Generation = generation
				if generation > 1 {
					state.Refreshed = largeNow + int64(generation)
					state.Previous = state.Refreshed - 1
					state.IdempotencyKey = authority.IdempotencyKeyHash{1, byte(n)}
				}
				batch.Put(sessionlog.State{Session: state})
			}
			if err := batch.Write(logRows{conn}); err != nil {
				b.Fatal(err)
			}
			batch.Apply()
		}
	}
}

func fileSize(b *testing.B, dir string) int64 {
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

// refreshFor refreshes random sessions for a round, in 64 goroutines with disjoint sessions. It returns the refreshes
// per second.
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
				live, rotated, err := s.Rotate(b.Context(), authority.Rotation{
					Session:        largeID(i),
					From:           generations[i],
					At:             largeNow + 10,
					Lives:          oneHour,
					IdempotencyKey: authority.IdempotencyKeyHash{2, byte(n)},
				})
				if err != nil || !rotated {
					b.Errorf("session %d at generation %d: rotated %v, %v", i, generations[i], rotated, err)
					return
				}
				generations[i] = live.Session.Generation
			}
		})
	}
	callers.Wait()
	return float64(total.Load()) / time.Since(begin).Seconds()
}

// resident returns the resident memory of the process in bytes, or 0 if the system does not report it.
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

// openLarge opens the store of largeFile, checks a session, and tunes the garbage collector as cmd/pawl does.
func openLarge(b *testing.B, dir string, sessions int) *Store {
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	live, err := s.Session(b.Context(), largeID(sessions-1))
	if err != nil || live.Session.Generation != largeGeneration(sessions-1) {
		b.Fatalf("%+v, %v", live, err)
	}
	if count := s.Stats().Sessions; count != int64(sessions) {
		b.Fatalf("%d sessions in memory, want %d", count, sessions)
	}
	const room = 64 << 20
	bytes := s.Stats().Bytes
	debug.SetGCPercent(int(100 * (room + bytes/16) / (room + bytes)))
	return s
}

// BenchmarkLarge measures a store of 5,000,000 sessions (-large): its disk, memory and start, and its rate of refreshes
// beside that of a store with 5,000 sessions in the same run (make bench-large). Either each session has its own user,
// so that a refresh reads its user from the file, or the users of all sessions fit into the cache.
func BenchmarkLarge(b *testing.B) {
	for _, users := range []int{*largeSessions, fewUsers} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) { benchmarkLarge(b, users) })
	}
}

func benchmarkLarge(b *testing.B, users int) {
	many := *largeSessions
	dirs := map[int]string{fewSessions: b.TempDir(), many: b.TempDir()}
	begin := time.Now()
	generations := map[int][]uint32{}
	empty := map[int]int64{} // sizes of the files without sessions
	for sessions, dir := range dirs {
		empty[sessions] = largeFile(b, dir, sessions, min(users, sessions))
		for n := range sessions {
			generations[sessions] = append(generations[sessions], largeGeneration(n))
		}
	}
	b.Logf("made the files in %v", time.Since(begin).Round(time.Second))
	disk := func() float64 { return float64(fileSize(b, dirs[many])-empty[many]) / float64(many) }
	b.ReportMetric(float64(empty[many])/float64(users), "disk-B/user")
	b.ReportMetric(disk(), "disk-B/session")
	stores := map[int]*Store{fewSessions: openLarge(b, dirs[fewSessions], fewSessions)}
	defer stores[fewSessions].Close()
	debug.FreeOSMemory()
	before := resident(b)
	begin = time.Now()
	stores[many] = openLarge(b, dirs[many], many)
	b.ReportMetric(time.Since(begin).Seconds(), "start-s")
	b.ReportMetric(float64(resident(b)-before)/float64(many), "resident-B/session")
	rates := map[int][]float64{}
	var ratios []float64
	for range largeRounds {
		for sessions, s := range stores {
			rates[sessions] = append(rates[sessions], refreshFor(b, s, generations[sessions]))
		}
		ratios = append(ratios, last(rates[many])/last(rates[fewSessions]))
	}
	b.Logf("refreshes a second: %.0f with %d sessions, %.0f with %d; ratios %.2f",
		rates[fewSessions], fewSessions, rates[many], many, ratios)
	b.ReportMetric(float64(resident(b)-before)/float64(many), "resident-after-B/session")
	b.ReportMetric(median(rates[fewSessions]), "refreshes/s-few")
	b.ReportMetric(median(rates[many]), "refreshes/s-many")
	b.ReportMetric(median(ratios), "ratio")
	if err := stores[many].Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(disk(), "disk-after-B/session")
}

func last(values []float64) float64 { return values[len(values)-1] }

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }
