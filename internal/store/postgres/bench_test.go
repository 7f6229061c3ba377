//go:build linux

package postgres_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	benchCallers  = 64
	benchSessions = 100_000 / benchCallers * benchCallers
)

// BenchmarkStore measures refreshes and checks of 64 concurrent callers, with the database on the same machine and
// synchronous_commit=on.
func BenchmarkStore(b *testing.B) {
	cluster := pgtest.Start(b, "shared_buffers=256MB", "fsync=on")
	dsn := cluster.DSN(cluster.Database(b))
	n := openNode(b, postgres.Config{DSN: dsn})
	ids := n.fill(b)
	sessionSize := queryNumber(b, dsn, "SELECT pg_total_relation_size('pawl.session')") / benchSessions
	generations := make([]atomic.Uint32, benchSessions)
	for i := range generations {
		generations[i].Store(1)
	}
	rotate := func(b *testing.B) {
		const walPosition = "SELECT pg_current_wal_lsn() - '0/0'"
		wal := queryNumber(b, dsn, walPosition)
		cpu := cluster.CPU()
		callConcurrently(b, func(i int) error {
			result, rotated, err := n.Rotate(b.Context(), authority.Rotation{
				Session: ids[i], From: generations[i].Load(), At: time.Now().Unix(), Lives: farLives,
			})
			if err == nil && rotated {
				generations[i].Store(result.Session.Generation)
			}
			return err
		})
		b.ReportMetric(float64(cluster.CPU()-cpu)/1e3/float64(b.N), "db-µs/op")
		b.ReportMetric((queryNumber(b, dsn, walPosition)-wal)/float64(b.N), "WAL-B/op")
		b.ReportMetric(sessionSize, "B/session")
	}
	b.Run("Rotate", rotate)
	b.Run("Session", func(b *testing.B) {
		callConcurrently(b, func(i int) error {
			_, err := n.Session(b.Context(), ids[i])
			return err
		})
	})
	// The store has no index for a list of the sessions by their last refresh. This is what it would cost.
	pgtest.Exec(b, dsn, "CREATE INDEX recent ON pawl.session (refreshed)")
	b.Run("RotateWithIndex", rotate)
	pgtest.Exec(b, dsn, "DROP INDEX pawl.recent")
	b.Run("RotateWithoutIndex", rotate)
}

// fill adds benchSessions sessions and returns their ids.
func (n node) fill(b *testing.B) []token.SessionID {
	b.Helper()
	user := n.newUser("a")
	ids := make([]token.SessionID, benchSessions)
	sessions := make([]authority.SessionWithOrigin, benchSessions)
	for i := range sessions {
		binary.BigEndian.PutUint64(ids[i][:], uint64(i)*0x9E3779B97F4A7C15)
		sessions[i] = sessionOf(user, ids[i])
		sessions[i].Origin = authority.Origin{
			IP:        "192.0.2.123",
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		}
	}
	for page := range slices.Chunk(sessions, 5000) {
		if err := n.WriteSessions(b.Context(), page); err != nil {
			b.Fatal(err)
		}
	}
	return ids
}

// callConcurrently is callWith for benchCallers goroutines.
func callConcurrently(b *testing.B, step func(session int) error) {
	b.Helper()
	callWith(b, benchCallers, step)
}

// callWith calls step b.N times with goroutines. No two of them get the same session.
func callWith(b *testing.B, callers int, step func(session int) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for caller := range callers {
		group.Go(func() {
			for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
				if err := step((n/callers*callers + caller) % (benchSessions / callers * callers)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

// BenchmarkSlowFlush measures rotations with batches of at most 256, as they were, and with those of today, in turn: on
// this machine's disk, and on one whose flush takes 5 ms longer. Beside them, one caller checks sessions and another
// one opens and ends sessions. Run it with -benchtime 1x.
func BenchmarkSlowFlush(b *testing.B) {
	for _, delay := range []time.Duration{0, 5 * time.Millisecond} {
		options := []string{"shared_buffers=256MB", "fsync=on", "commit_siblings=0"}
		cluster := pgtest.Start(b, append(options, fmt.Sprint("commit_delay=", delay.Microseconds()))...)
		dsn := cluster.DSN(cluster.Database(b))
		before := openNode(b, postgres.Config{DSN: dsn})
		before.BatchRotations(256)
		today := openNode(b, postgres.Config{DSN: dsn})
		user := before.newUser("b")
		ids := before.fill(b)
		generations := make([]uint32, len(ids)) // each is of one caller at a time
		for i := range generations {
			generations[i] = 1
		}
		for _, callers := range []int{512, 4096} {
			b.Run(fmt.Sprintf("delay=%v/callers=%d", delay, callers), func(b *testing.B) {
				const rounds = 5
				var results [2][3][]float64
				var ratios []float64
				for round := range rounds + 1 {
					old := before.rotateFor(b, user, ids, generations, callers)
					now := today.rotateFor(b, user, ids, generations, callers)
					if round == 0 {
						continue // it warms up
					}
					for i := range old {
						results[0][i], results[1][i] = append(results[0][i], old[i]), append(results[1][i], now[i])
					}
					ratios = append(ratios, now[0]/old[0])
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(ratios), "ratio")
				b.ReportMetric(slices.Min(ratios), "least-ratio")
				b.ReportMetric(slices.Max(ratios), "most-ratio")
				for i, size := range []string{"256", "today"} {
					b.ReportMetric(median(results[i][0]), "rotations/s-"+size)
					b.ReportMetric(median(results[i][1]), "check-p99-ms-"+size)
					b.ReportMetric(median(results[i][2]), "write-p99-ms-"+size)
				}
			})
		}
	}
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// rotateFor rotates sessions for a second with goroutines that have sessions of their own. It returns the rotations a
// second, and the p99 in milliseconds of a check and of a write meanwhile.
func (n node) rotateFor(
	b *testing.B, user *authority.User, ids []token.SessionID, generations []uint32, callers int,
) [3]float64 {
	b.Helper()
	var total atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	running := func() bool { return time.Since(start) < time.Second }
	for caller := range callers {
		group.Go(func() {
			for i := caller; running(); i = (i + callers) % (len(ids) / callers * callers) {
				result, rotated, err := n.Rotate(b.Context(), authority.Rotation{
					Session: ids[i], From: generations[i], Lives: farLives,
				})
				if err != nil || !rotated {
					b.Errorf("rotated %v, %v", rotated, err)
					return
				}
				generations[i] = result.Session.Generation
				total.Add(1)
			}
		})
	}
	p99 := func(millis *float64, call func() error) {
		var took []float64
		for running() {
			begun := time.Now()
			if err := call(); err != nil {
				b.Error(err)
				return
			}
			took = append(took, time.Since(begun).Seconds()*1e3)
		}
		slices.Sort(took)
		*millis = took[len(took)*99/100]
	}
	var check, write float64
	group.Go(func() {
		p99(&check, func() error {
			_, err := n.Session(b.Context(), ids[0])
			return err
		})
	})
	group.Go(func() {
		id := sessionID(1)
		ended := true
		p99(&write, func() error {
			if ended = !ended; ended {
				return n.EndSession(b.Context(), authority.Rights{}, id)
			}
			_, err := n.OpenSession(b.Context(), openingOf(user, id))
			return err
		})
		if !ended {
			_ = n.EndSession(b.Context(), authority.Rights{}, id) // another round opens it again
		}
	})
	group.Wait()
	return [3]float64{float64(total.Load()) / time.Since(start).Seconds(), check, write}
}
