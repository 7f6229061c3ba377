//go:build linux

package postgres_test

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

const callers = 64

// BenchmarkStore measures refreshes and checks by 64 callers at once, with the
// database on the same machine and synchronous_commit=on.
func BenchmarkStore(b *testing.B) {
	cluster := pgtest.Start(b, "shared_buffers=256MB")
	dsn := cluster.DSN(cluster.Database(b))
	s := open(b, postgres.Config{DSN: dsn})
	defer s.Close()
	u, err := s.CreateUser(b.Context(), authority.User{Login: "a", Level: authority.Root, Status: authority.Active}, "hash")
	if err != nil {
		b.Fatal(err)
	}
	const count = 100_000
	sessions := make([]authority.SessionWithOrigin, count)
	for i := range sessions {
		var id token.SessionID
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9E3779B97F4A7C15)
		sessions[i].Session = authority.Session{ID: id, UserID: u.ID, Generation: 1, Expires: 1 << 40, Ends: 1 << 40}
		sessions[i].Origin = authority.Origin{IP: "192.0.2.123", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
	}
	for page := range slices.Chunk(sessions, 5000) {
		if err := s.WriteSessions(b.Context(), page); err != nil {
			b.Fatal(err)
		}
	}
	generations := make([]atomic.Uint32, count)
	for i := range generations {
		generations[i].Store(1)
	}
	run := func(b *testing.B, step func(i int) error) {
		var next atomic.Int64
		var group sync.WaitGroup
		b.ResetTimer()
		for caller := range callers {
			group.Go(func() {
				for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
					if err := step((n/callers*callers + caller) % (count / callers * callers)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	}
	perSession := number(b, dsn, "SELECT pg_total_relation_size('pawl.session')") / count
	b.Run("Rotate", func(b *testing.B) {
		wal := number(b, dsn, "SELECT pg_current_wal_lsn() - '0/0'")
		cpu := cluster.CPU()
		run(b, func(i int) error {
			live, moved, err := s.Rotate(b.Context(), authority.Rotation{Session: sessions[i].ID, From: generations[i].Load(), Expires: 1 << 40})
			if err == nil && moved {
				generations[i].Store(live.Session.Generation)
			}
			return err
		})
		b.ReportMetric(float64(cluster.CPU()-cpu)/1e3/float64(b.N), "db-µs/op")
		b.ReportMetric((number(b, dsn, "SELECT pg_current_wal_lsn() - '0/0'")-wal)/float64(b.N), "WAL-B/op")
		b.ReportMetric(perSession, "B/session")
	})
	b.Run("Session", func(b *testing.B) {
		run(b, func(i int) error {
			_, err := s.Session(b.Context(), sessions[i].ID)
			return err
		})
	})
}

// number is the one number that a query answers.
func number(t testing.TB, dsn, sql string) (n float64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
