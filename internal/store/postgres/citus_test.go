//go:build linux

package postgres_test

import (
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// newCitus returns the DSNs of the servers of a distributed store, that of the coordinator first.
func newCitus(t testing.TB, c *pgtest.Citus) []string {
	t.Helper()
	name := c.Database(t)
	var all []string
	for _, server := range c.Servers() {
		all = append(all, server.DSN(name))
	}
	open(t, postgres.Config{DSN: all[0]}).close()
	if _, err := postgres.Distribute(t.Context(), postgres.Config{DSN: all[0]}, 0); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEveryWorkerIsAnEntrance signs in at one worker, and refreshes, checks and signs out at the others.
func TestEveryWorkerIsAnEntrance(t *testing.T) {
	dsns := newCitus(t, pgtest.StartCitus(t, 2))
	var nodes []node
	for _, dsn := range dsns {
		nodes = append(nodes, openNode(t, postgres.Config{DSN: dsn}))
	}
	for i, n := range nodes {
		next := nodes[(i+1)%len(nodes)]
		user := n.newUser(string(rune('a' + i)))
		if user.ID >= 1<<52 {
			t.Errorf("entrance %d: the id of the user is %d", i, user.ID)
		}
		for number := range byte(8) {
			id := n.newSession(user, byte(i)*8+number+1)
			next.mustRotate(id, 1)
			n.mustRotate(id, 2)
			if rotated, err := next.rotate(id, 1); rotated || err != nil {
				t.Errorf("entrance %d: a superseded generation was rotated: %v, %v", i, rotated, err)
			}
			found, err := next.Session(t.Context(), id)
			if err != nil || found.Session.Generation != 3 {
				t.Errorf("entrance %d: generation %d, %v", i, found.Session.Generation, err)
			}
			if err := next.EndSession(t.Context(), authority.Rights{}, id); err != nil {
				t.Error(err)
			}
			if _, err := n.Session(t.Context(), id); err == nil {
				t.Errorf("entrance %d: an ended session was accepted", i)
			}
		}
	}
}

func TestCitusConformance(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2, "fsync=off")
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		dsns := newCitus(t, cluster)
		return func() storetest.Store { return open(t, postgres.Config{DSN: dsns[1]}) }
	})
}
