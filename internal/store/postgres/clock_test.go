//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/pawltest"
)

// databaseWithClock creates a database whose clock a test sets. step sets the clock to the real one plus a duration. A
// function of the schema "clock" hides the one of PostgreSQL.
func databaseWithClock(t *testing.T, cluster *pgtest.Cluster) (database string, step func(time.Duration)) {
	t.Helper()
	database = cluster.Database(t)
	statements := []string{
		"CREATE SCHEMA clock", "CREATE TABLE clock.step (by interval NOT NULL)",
		"INSERT INTO clock.step VALUES ('0')",
		"ALTER DATABASE " + database + " SET search_path = clock, pg_catalog, public",
	}
	for name, kind := range map[string]string{"clock_timestamp": "VOLATILE", "now": "STABLE"} {
		const sql = "CREATE FUNCTION clock.%s() RETURNS timestamptz LANGUAGE sql %s" +
			" AS 'SELECT pg_catalog.%[1]s() + by FROM clock.step'"
		statements = append(statements, fmt.Sprintf(sql, name, kind))
	}
	cluster.Exec(t, database, statements...)
	return database, func(d time.Duration) {
		t.Helper()
		cluster.Exec(t, database, fmt.Sprintf("UPDATE clock.step SET by = interval '%d s'", d/time.Second))
	}
}

// TestFeedOfASuspendedNode lets a minute pass on the database between two polls of a node, as if the machine of the
// node had been suspended with its clocks. Other nodes have removed rows meanwhile, so the feed must begin a new epoch.
func TestFeedOfASuspendedNode(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database, step := databaseWithClock(t, cluster)
	_, feed := openFollowed(t, cluster.DSN(database))
	s, err := feed.Subscribe("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	await := func(epochs uint64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for feed.Stats().Epochs < epochs {
			if _, _, err := s.Next(ctx); err != nil {
				t.Fatal(errors.Join(fmt.Errorf("%d epochs, want %d", feed.Stats().Epochs, epochs), err))
			}
		}
	}
	await(1)
	step(time.Minute)
	await(2)
}

// TestSweepAfterClockSteps sets the clock of the database a day forward during a sweep, and then back. Each time, the
// next sweep must begin within minutes.
func TestSweepAfterClockSteps(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database, step := databaseWithClock(t, cluster)
	n := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	user := n.newUser("a")
	const day, perPage = 24 * time.Hour, 5
	var number byte
	// sweep sweeps sessions that have ended, in several pages.
	sweep := func(afterPage func()) {
		t.Helper()
		for range 2 * perPage {
			number++
			n.newSession(user, number)
		}
		for removed := 0; ; {
			ended, done, err := n.Sweep(t.Context(), math.MaxInt64, 1)
			if err != nil {
				t.Fatal(err)
			}
			removed += len(ended)
			if done {
				if removed != 2*perPage {
					t.Errorf("%d sessions removed, want %d", removed, 2*perPage)
				}
				return
			}
			afterPage()
		}
	}
	sweep(func() { step(day) })
	step(day + 2*time.Minute)
	sweep(func() {})
	step(0)
	sweep(func() {})
}

// TestSweepOfANodeAhead lets a node sweep whose clock is an hour ahead of the database's. It must not remove a session
// that other nodes accept.
func TestSweepOfANodeAhead(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database, step := databaseWithClock(t, cluster)
	pawl := pawltest.New(t, pawltest.WithPostgres(cluster.DSN(database)))
	if _, err := pawl.Client().Login(t.Context(), pawltest.Login, pawltest.Password); err != nil {
		t.Fatal(err)
	}
	admin := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey))
	pawl.Clock.Add(90 * time.Minute) // the session ended half an hour ago, by the clock of the node
	ended := func() bool {
		t.Helper()
		if err := pawl.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		events, err := admin.Audit(t.Context(), api.AuditRequest{Kind: api.EventSessionEnded})
		if err != nil {
			t.Fatal(err)
		}
		return len(events) > 0
	}
	step(-time.Hour)
	if ended() {
		t.Error("a session was removed that the database's clock does not end")
	}
	step(0)
	if !ended() {
		t.Error("the session was not removed")
	}
}
