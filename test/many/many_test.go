//go:build linux

// Package many_test measures what the end of very many sessions of one user costs: how long the call takes, and what
// the removal of the rows does to the refreshes of another user. "make bench-many" runs it.
package many_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/bench"
	"github.com/pawlauth/pawl/internal/seal"
	sqlitestore "github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

var (
	sessions = flag.Int("many", 1_000_000, "sessions of each user whose sessions end")
	rounds   = flag.Int("rounds", 5, "measurements of the refreshes, with and without a purge")
	each     = flag.Duration("each", 4*time.Second, "length of a measurement")
	rate     = flag.Float64("rate", 400, "refreshes a second of another user")
)

const conns = 16

// target is a store to measure.
type target struct {
	address string   // for app.ParseStoreAddress
	env     []string // of the server
	flags   []string // of the server
	// queued returns the number of users that wait for the purge.
	queued func(b *testing.B) int64
}

func sqliteTarget(b *testing.B) target {
	dir := b.TempDir()
	return target{
		address: "sqlite:" + dir,
		flags:   []string{"--data", dir},
		queued: func(b *testing.B) (users int64) {
			conn, err := sqlite.OpenConn(filepath.Join(dir, sqlitestore.FileName), sqlite.OpenReadOnly)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			users, err = sqlitex.ResultInt64(conn.Prep("SELECT count(*) FROM session_purge"))
			if err != nil {
				b.Fatal(err)
			}
			return users
		},
	}
}

func postgresTarget(b *testing.B) target {
	cluster := pgtest.Start(b, "synchronous_commit=on", "fsync=on", "shared_buffers=512MB", "max_wal_size=4GB")
	dsn := cluster.DSN(cluster.Database(b))
	return target{
		address: dsn,
		env:     []string{"PAWL_STORE=" + dsn, "PAWL_MASTER_KEY=" + seal.NewKey()},
		queued: func(b *testing.B) (users int64) {
			conn, err := pgx.Connect(b.Context(), dsn)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close(context.Background())
			if err := conn.QueryRow(b.Context(), "SELECT count(*) FROM pawl.session_purge").Scan(&users); err != nil {
				b.Fatal(err)
			}
			return users
		},
	}
}

// fill creates two users with very many sessions each, and returns the users.
func (s target) fill(b *testing.B) (users []int64) {
	b.Helper()
	address, err := app.ParseStoreAddress(s.address)
	if err != nil {
		b.Fatal(err)
	}
	store, err := app.OpenStore(b.Context(), app.StoreConfig{Address: address, Exclusive: true})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	now := time.Now().Unix()
	for _, login := range []string{"a@example.com", "b@example.com"} {
		user := authority.User{
			Login: login, Level: authority.MailboxUser, Status: authority.Active,
			Tenant: authority.Tenant{NetworkID: 1, MailboxID: 1}, Created: now,
		}
		created, err := store.CreateUser(b.Context(), authority.Rights{}, user, "no password")
		if err != nil {
			b.Fatal(err)
		}
		users = append(users, created.ID)
		random := rand.NewChaCha8([32]byte{byte(created.ID)})
		rows := make([]authority.SessionWithOrigin, *sessions)
		for i := range rows {
			r := &rows[i]
			_, _ = random.Read(r.ID[:])
			r.UserID, r.Generation = created.ID, 1
			r.Created = now - int64(*sessions-i)/100 // a hundred sign-ins a second
			r.Refreshed = r.Created
			r.Expires, r.Idle = now+24*3600, now+24*3600
			r.Ends = now + 30*24*3600
			r.IP, r.UserAgent = "203.0.113.77", "okhttp/4.12.0"
		}
		for page := range slices.Chunk(rows, 5000) {
			if err := store.WriteSessions(b.Context(), page); err != nil {
				b.Fatal(err)
			}
		}
	}
	return users
}

// server is a running server with chains of refreshes.
type server struct {
	target
	admin *client.Client
	load  *bench.Load
}

func (s target) start(b *testing.B) (*server, []int64) {
	b.Helper()
	binary := testbin.Build(b)
	created := testbin.Init(b, binary, s.env, s.flags...)
	users := s.fill(b)
	flags := append(slices.Clone(s.flags), "--max-sessions-per-user", "0")
	running := testbin.StartServe(b, binary, s.env, flags...)
	load, err := bench.Open(b.Context(), running.URL, created.Login, created.Password, conns, nil)
	if err != nil {
		b.Fatal(err)
	}
	admin := testbin.Client(b, running.URL, client.WithAPIKey(created.APIKey))
	return &server{target: s, admin: admin, load: load}, users
}

// p99 measures refreshes of another user, and returns the latency of the slowest percent in milliseconds.
func (s *server) p99(b *testing.B) float64 {
	b.Helper()
	result, err := s.load.Run(b.Context(), bench.Plan{
		Conns: conns, Duration: *each, Rate: *rate, Mix: bench.Only(bench.Refresh),
	})
	if err != nil {
		b.Fatal(err)
	}
	if call := result.Calls[0]; len(call.Errors) > 0 {
		b.Fatalf("refreshes failed: %v", call.Errors)
	}
	return result.Calls[0].P99
}

// measure calls end, and measures refreshes before and during the purge.
func (s *server) measure(b *testing.B, name string, end func(context.Context) error) {
	b.Helper()
	var without, during []float64
	for range *rounds {
		without = append(without, s.p99(b))
	}
	begun := time.Now()
	if err := end(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begun)
	for range *rounds {
		p99 := s.p99(b)
		if s.queued(b) == 0 {
			b.Logf("%s: the purge ended before the measurement; raise -many", name)
			break
		}
		during = append(during, p99)
	}
	for s.queued(b) > 0 {
		time.Sleep(100 * time.Millisecond)
	}
	purged := time.Since(begun)
	b.Logf("%s: p99 in ms without %.2f, during the purge %.2f", name, without, during)
	if len(during) == 0 {
		return
	}
	slices.Sort(without)
	slices.Sort(during)
	before, with := without[len(without)/2], during[len(during)/2]
	b.ReportMetric(float64(took.Microseconds())/1000, name+"-ms")
	b.ReportMetric(before, name+"-p99-without-ms")
	b.ReportMetric(with, name+"-p99-during-ms")
	b.ReportMetric(with/before, name+"-p99-ratio")
	b.ReportMetric(purged.Seconds(), name+"-purge-s")
}

// BenchmarkMany resets and suspends users with a million sessions each (-many), on each store. For both calls, it
// reports how long the answer took, the p99 of another user's refreshes before the call and during the purge after it,
// and how long the purge took.
func BenchmarkMany(b *testing.B) {
	for name, target := range map[string]func(*testing.B) target{
		"SQLite": sqliteTarget, "PostgreSQL": postgresTarget,
	} {
		b.Run(name, func(b *testing.B) {
			s, users := target(b).start(b)
			s.measure(b, "reset", func(ctx context.Context) error { return s.admin.ResetUser(ctx, users[0]) })
			s.measure(b, "suspend", func(ctx context.Context) error {
				suspended := api.StatusSuspended
				_, err := s.admin.UpdateUser(ctx, api.UpdateUserRequest{UserID: users[1], Status: &suspended})
				return err
			})
			b.ReportMetric(0, "ns/op") // the time of the whole run means nothing
		})
	}
}
