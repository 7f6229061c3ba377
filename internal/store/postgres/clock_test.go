//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
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
