package console_test

import (
	"cmp"
	"crypto/rand"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/pawltest"
)

var (
	manyPeople   = flag.Int("people", 200_000, "people of BenchmarkLists")
	manySessions = flag.Int("sessions", 1_000_000, "sessions of BenchmarkLists")
)

// firstPerson is the id of the first person that fill writes.
const firstPerson = 1_000_000

// BenchmarkLists measures the overview and the pages with lists on a large store, for an administrator of all tenants
// and for one of a network with every tenth person. PostgreSQL has no statistics yet, as right after an import. A page
// that takes more than maxPage fails the benchmark. Run it with "make bench-console".
func BenchmarkLists(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		dir := b.TempDir()
		benchmarkLists(b, dir, "sqlite:"+dir)
	})
	b.Run("postgres", func(b *testing.B) {
		cluster := pgtest.Start(b, "synchronous_commit=off", "fsync=on", "max_wal_size=4GB", "autovacuum=off")
		dsn := cluster.DSN(cluster.Database(b))
		benchmarkLists(b, b.TempDir(), dsn, pawltest.WithPostgres(dsn))
	})
}

func benchmarkLists(b *testing.B, dir, store string, options ...pawltest.Option) {
	session := fill(b, store, *manyPeople, *manySessions)
	fillCrowded(b, store)
	pawl := startOn(b, dir, options...)
	const login, password = "network@example.com", "N3twork!admin"
	_, err := adminOf(pawl).CreateUser(b.Context(), api.CreateUserRequest{
		Login: login, Password: password, AuthLevel: api.LevelNetworkAdmin, NetworkID: new(int64(2)),
	})
	if err != nil {
		b.Fatal(err)
	}
	root, admin := &visitor{tb: b, url: pawl.URL + "/console"}, &visitor{tb: b, url: pawl.URL + "/console"}
	root.signIn(pawltest.AdminLogin, pawltest.AdminPassword, "")
	admin.signIn(login, password, "")
	matching, empty := listPaths(session)
	for _, path := range slices.Concat(matching, empty) {
		for name, v := range map[string]*visitor{"root": root, "network": admin} {
			ofRoot := path == "" || strings.Contains(path, "network=") || strings.HasPrefix(path, "/people/9000000")
			if v == admin && ofRoot {
				continue
			}
			b.Run(name+cmp.Or(path, "/"), func(b *testing.B) {
				rows := v == root && slices.Contains(matching, path)
				for b.Loop() {
					response, text := v.send(path, nil)
					if response.StatusCode != http.StatusOK || rows && !strings.Contains(text, "<tbody>") {
						b.Fatalf("%s, a table must be there: %v", response.Status, rows)
					}
				}
				if mean := b.Elapsed() / time.Duration(b.N); mean > maxPage {
					b.Errorf("a page takes %v, at most %v", mean, maxPage)
				}
			})
		}
	}
}

// maxPage is how long a page of a list may take.
const maxPage = 100 * time.Millisecond

// listPaths returns the paths of the pages that BenchmarkLists measures: those with rows for an administrator of all
// tenants, and those without, where a store cannot stop at the first match. Two questions and the overview are without
// a table too.
func listPaths(session string) (matching, empty []string) {
	questions := []string{"/people/9000000/end-all", "/people/9000000/password"}
	matching = []string{
		"/people", "/people?after=1100000", "/people?q=user01234", "/people?q=lastname77", "/people?q=first7",
		"/people?q=ext01234", "/people?q=u", "/people?q=u&after=1100000", "/people?status=Suspended",
		"/people?level=MailboxAdmin", "/people?q=u&status=Suspended", "/people?network=2",
		"/people?network=1&mailbox=77", "/people/1000009", "/people/9000000", "/people/9000000?after=50000",
		"/people/9000000?after=99950", "/sessions", "/sessions?after=1.1100000.2",
		"/sessions?device=phone", "/sessions?address=203.0.113.7", "/audit", "/audit?kind=login", "/audit?kind=theft",
		"/audit?user=1000009", "/audit?user=user012349@example.com", "/audit?session=" + session,
		"/audit?kind=theft&user=1000007",
	}
	return matching, append(questions,
		"", "/people?q=zzzz", "/people?status=Preproduction", "/people?level=NetOps", "/people?network=77",
		"/people?network=1&mailbox=77&level=MailboxAdmin", "/sessions?device=none", "/sessions?address=192.0.2.",
		"/audit?kind=keyMade", "/audit?from=2026-01-01T00:00&to=2026-01-02T00:00",
		"/audit?kind=theft&to=2026-01-02T00:00",
	)
}

// openStore opens the store at an address, and creates it if it does not exist.
func openStore(tb testing.TB, text string) app.Store {
	tb.Helper()
	address, err := app.ParseStoreAddress(text)
	if err != nil {
		tb.Fatal(err)
	}
	store, err := app.OpenStore(tb.Context(), app.StoreConfig{Address: address, Exclusive: true})
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// fill writes people, their sessions, and an event for each session into a store, which it creates. The people have the
// ids from firstPerson on. Few of them have another level than most, or another status. It returns the id of a session.
func fill(tb testing.TB, text string, people, sessions int) string {
	tb.Helper()
	store := openStore(tb, text)
	defer store.Close()
	now := time.Now().Unix()
	for page := range slices.Chunk(manyUsers(people, now), 5000) {
		if err := store.WriteUsers(tb.Context(), page); err != nil {
			tb.Fatal(err)
		}
	}
	rows := writeSessions(tb, store, now, sessions, func(i int) int64 { return int64(firstPerson + i%people) })
	events := make([]audit.Event, sessions)
	for i, r := range rows {
		events[i] = audit.Event{At: r.Created, Kind: audit.Login, User: r.UserID, Session: r.ID, Address: r.IP}
		if i%10_000 == 7 {
			events[i].Kind = audit.Theft
		}
	}
	for page := range slices.Chunk(events, 5000) {
		if err := store.AddEvents(tb.Context(), page); err != nil {
			tb.Fatal(err)
		}
	}
	return rows[0].ID.String()
}

// writeSessions adds sessions of a few devices and addresses to a store, each of the user that owner returns.
func writeSessions(
	tb testing.TB, store app.Store, now int64, count int, owner func(i int) int64,
) []authority.SessionWithOrigin {
	tb.Helper()
	rows := make([]authority.SessionWithOrigin, count)
	for i := range rows {
		r := &rows[i]
		_, _ = rand.Read(r.ID[:]) // never fails
		r.UserID, r.Generation = owner(i), 1
		r.Created, r.Refreshed = now-int64(i%86_400), now-int64(i%3600)
		r.Expires, r.Idle = now+3600, now+24*3600
		r.Ends = now + 30*24*3600
		r.IP, r.UserAgent = fmt.Sprintf("203.0.113.%d", i%250), agents[i%len(agents)]
	}
	for page := range slices.Chunk(rows, 5000) {
		if err := store.WriteSessions(tb.Context(), page); err != nil {
			tb.Fatal(err)
		}
	}
	return rows
}

// crowdedPerson is the id of a person with crowdedSessions sessions, added by fillCrowded.
const (
	crowdedPerson   = 9_000_000
	crowdedSessions = 100_000
)

// fillCrowded adds a person with many sessions to a store.
func fillCrowded(tb testing.TB, text string) {
	tb.Helper()
	store := openStore(tb, text)
	defer store.Close()
	now := time.Now().Unix()
	person := manyUsers(1, now)
	person[0].ID, person[0].Login = crowdedPerson, "crowded@example.com"
	person[0].ExternalID = ""
	if err := store.WriteUsers(tb.Context(), person); err != nil {
		tb.Fatal(err)
	}
	writeSessions(tb, store, now, crowdedSessions, func(int) int64 { return crowdedPerson })
}

// manyUsers returns the people of fill.
func manyUsers(people int, now int64) []authority.UserWithHash {
	users := make([]authority.UserWithHash, people)
	for i := range users {
		login := fmt.Sprintf("user%06d@example.com", i)
		u := authority.User{
			ID: int64(firstPerson + i), Login: login, Email: login, FirstName: fmt.Sprintf("First%d", i%1000),
			LastName: fmt.Sprintf("Lastname%d", i%10_000), ExternalID: fmt.Sprintf("ext%06d", i),
			Level: authority.MailboxUser, Status: authority.Active, Created: now - int64(people-i)*60,
			Tenant: authority.Tenant{NetworkID: 1, MailboxID: int64(i % 1000)},
		}
		switch i % 1000 {
		case 7:
			u.Status = authority.Suspended
		case 13:
			u.Level = authority.MailboxAdmin
		}
		if i%10 == 9 {
			u.NetworkID = 2
		}
		users[i].User = u
	}
	return users
}
