//go:build linux

package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

func TestConformance(t *testing.T) {
	cluster := pgtest.Start(t)
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		dsn := cluster.DSN(cluster.Database(t))
		return func() storetest.Store { return open(t, postgres.Config{DSN: dsn}) }
	})
}

func open(t testing.TB, c postgres.Config) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNoDeadlock lets two nodes move the same sessions in opposite
// orders: each generation has one successor, and nobody waits in a circle.
func TestNoDeadlock(t *testing.T) {
	// The plan that a large table gets: rows are met in the order of the arrays.
	cluster := pgtest.Start(t, "enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off")
	dsn := cluster.DSN(cluster.Database(t))
	nodes := []*postgres.Store{open(t, postgres.Config{DSN: dsn}), open(t, postgres.Config{DSN: dsn})}
	u, err := nodes[0].CreateUser(t.Context(), authority.User{Login: "a", Level: authority.Root, Status: authority.Active}, "hash")
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]token.SessionID, 64)
	for i := range ids {
		ids[i] = token.SessionID{byte(i * 37), 1}
		s := authority.Session{ID: ids[i], UserID: u.ID, Generation: 1, Expires: 1 << 40, Ends: 1 << 40}
		if err := nodes[0].OpenSession(t.Context(), authority.SessionWithOrigin{Session: s}, "hash"); err != nil {
			t.Fatal(err)
		}
	}
	const rounds = 30
	for from := uint32(1); from <= rounds; from++ {
		var mu sync.Mutex // guards moved
		moved := map[token.SessionID]int{}
		var group sync.WaitGroup
		for n, node := range nodes {
			order := slices.Clone(ids)
			if n == 1 {
				slices.Reverse(order)
			}
			for _, id := range order {
				group.Go(func() {
					_, won, err := node.Rotate(t.Context(), authority.Rotation{Session: id, From: from, Expires: 1 << 40})
					if err != nil {
						t.Error(err)
					}
					if won {
						mu.Lock()
						moved[id]++
						mu.Unlock()
					}
				})
			}
		}
		group.Wait()
		for _, id := range ids {
			if moved[id] != 1 {
				t.Fatalf("generation %d of %v has %d successors", from, id, moved[id])
			}
		}
	}
	for _, node := range nodes {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := number(t, dsn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n != 0 {
		t.Errorf("%v deadlocks", n)
	}
}

// TestGuessesAreCountedTogether lets two nodes take guesses in turn, and many
// at once: they share the five that are free.
func TestGuessesAreCountedTogether(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	nodes := []*postgres.Store{open(t, postgres.Config{DSN: dsn}), open(t, postgres.Config{DSN: dsn})}
	var admitted atomic.Int64
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			guess := throttle.Attempt{Account: throttle.HashLogin("ada"), Address: fmt.Sprint(i), At: 1000}
			wait, _, err := nodes[i%2].BeginAttempt(t.Context(), guess)
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				admitted.Add(1)
			}
		})
	}
	group.Wait()
	if n := admitted.Load(); n != 5 {
		t.Errorf("two nodes let %d guesses in, want 5", n)
	}
	if err := nodes[0].ClearAttempts(t.Context(), throttle.HashLogin("ada")); err != nil {
		t.Fatal(err)
	}
	wait, _, err := nodes[1].BeginAttempt(t.Context(), throttle.Attempt{Account: throttle.HashLogin("ada"), Address: "a", At: 1000})
	if err != nil || wait != 0 {
		t.Errorf("after another node forgot the guesses: wait %d, %v", wait, err)
	}
	for _, node := range nodes {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	}
}
