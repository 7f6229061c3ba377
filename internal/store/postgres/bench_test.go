//go:build linux

package postgres_test

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

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
	b.Run("Rotate", func(b *testing.B) {
		const walPosition = "SELECT pg_current_wal_lsn() - '0/0'"
		wal := queryNumber(b, dsn, walPosition)
		cpu := cluster.CPU()
		callConcurrently(b, func(i int) error {
			result, rotated, err := n.Rotate(b.Context(), authority.Rotation{
				Session: ids[i], From: generations[i].Load(), Lives: farLives,
			})
			if err == nil && rotated {
				generations[i].Store(result.Session.Generation)
			}
			return err
		})
		b.ReportMetric(float64(cluster.CPU()-cpu)/1e3/float64(b.N), "db-µs/op")
		b.ReportMetric((queryNumber(b, dsn, walPosition)-wal)/float64(b.N), "WAL-B/op")
		b.ReportMetric(sessionSize, "B/session")
	})
	b.Run("Session", func(b *testing.B) {
		callConcurrently(b, func(i int) error {
			_, err := n.Session(b.Context(), ids[i])
			return err
		})
	})
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
