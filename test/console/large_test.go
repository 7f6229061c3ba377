package console_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/pawltest"
)

var (
	manyPeople   = flag.Int("people", 200_000, "people of BenchmarkLists")
	manySessions = flag.Int("sessions", 1_000_000, "sessions of BenchmarkLists")
)

// BenchmarkLists measures the pages with lists on a large store. PostgreSQL has no statistics yet, as right after an
// import. It is run by hand:
//
//	go test ./test/console -run '^$' -bench Lists -benchtime 5x
func BenchmarkLists(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		dir := b.TempDir()
		benchmarkLists(b, dir, "sqlite:"+dir)
	})
	b.Run("postgres", func(b *testing.B) {
		cluster := pgtest.Start(b, "synchronous_commit=off", "fsync=on", "max_wal_size=4GB")
		dsn := cluster.DSN(cluster.Database(b))
		benchmarkLists(b, b.TempDir(), dsn, pawltest.WithPostgres(dsn))
	})
}

func benchmarkLists(b *testing.B, dir, store string, options ...pawltest.Option) {
	fillLarge(b, store)
	on := pawltest.WithConfig(func(c *app.Config) { c.Console = console.DefaultPath })
	pawl := pawltest.Start(dir, append(options, on)...)
	defer pawl.Close()
	v := &visitor{tb: b, url: pawl.URL + "/console"}
	v.signIn(pawltest.AdminLogin, pawltest.AdminPassword, "")
	for name, path := range map[string]string{
		"people": "/people", "middle of people": "/people?after=1100000", "search login": "/people?q=user01234",
		"search name": "/people?q=lastname77", "search of many": "/people?q=u",
		"its next page":  "/people?q=u&after=1100000",
		"search of none": "/people?q=zzzz", "status": "/people?status=Suspended",
		"mailbox":  "/people?network=1&mailbox=77",
		"sessions": "/sessions", "middle of sessions": "/sessions?after=1.1100000.2",
		"sessions of a device": "/sessions?device=none", "audit": "/audit", "person": "/people/1000007",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if response, _ := v.send(path, nil); response.StatusCode != 200 {
					b.Fatal(response.Status)
				}
			}
		})
	}
}

// fillLarge writes people, and their sessions.
func fillLarge(b *testing.B, text string) {
	b.Helper()
	address, err := app.ParseStoreAddress(text)
	if err != nil {
		b.Fatal(err)
	}
	store, err := app.OpenStore(b.Context(), app.StoreConfig{Address: address, Exclusive: true})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const first = 1_000_000
	now := time.Now().Unix()
	users := make([]authority.UserWithHash, *manyPeople)
	for i := range users {
		login := fmt.Sprintf("user%06d@example.com", i)
		users[i].User = authority.User{
			ID: int64(first + i), Login: login, Email: login, FirstName: fmt.Sprintf("First%d", i%1000),
			LastName: fmt.Sprintf("Lastname%d", i%10_000), Level: authority.MailboxUser, Status: authority.Active,
			Tenant: authority.Tenant{NetworkID: 1, MailboxID: int64(i % 1000)}, Created: now,
		}
	}
	for page := range slices.Chunk(users, 5000) {
		if err := store.WriteUsers(b.Context(), page); err != nil {
			b.Fatal(err)
		}
	}
	random := rand.NewChaCha8([32]byte{1})
	sessions := make([]authority.SessionWithOrigin, *manySessions)
	for i := range sessions {
		r := &sessions[i]
		_, _ = random.Read(r.ID[:])
		r.UserID, r.Generation = int64(first+i%*manyPeople), 1
		r.Created, r.Refreshed = now, now
		r.Expires, r.Idle = now+3600, now+24*3600
		r.Ends = now + 30*24*3600
		r.IP, r.UserAgent = "203.0.113.77", "okhttp/4.12.0"
	}
	for page := range slices.Chunk(sessions, 5000) {
		if err := store.WriteSessions(b.Context(), page); err != nil {
			b.Fatal(err)
		}
	}
}
