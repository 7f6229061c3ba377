//go:build linux

package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestMixedBatches: duplicates, replays and refreshes of the next generation meet
// in the same batches of two nodes. Each generation has one winner, whoever is
// answered learns the row as it is, and nobody waits for long.
func TestMixedBatches(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	nodes := []store{openNode(t, postgres.Config{DSN: dsn}), openNode(t, postgres.Config{DSN: dsn})}
	user := nodes[0].user("a")
	const sessions, rounds, callers = 8, 60, 10
	var wins [sessions][rounds + 2]atomic.Int32 // by session and generation
	call := func(n, caller int, id token.SessionID, from uint32) {
		live, moved, err := nodes[(n+caller)%2].Rotate(t.Context(), authority.Rotation{Session: id, From: from, Expires: 1 << 40,
			At: int64(caller), IdempotencyKey: authority.HashIdempotencyKey(fmt.Sprint(caller % 3))})
		switch {
		case err != nil:
			t.Errorf("session %d from %d: %v", n, from, err)
		case moved && (live.Session.Generation != from+1 || live.Session.Refreshed != int64(caller)):
			t.Errorf("session %d from %d: the winner is given generation %d of caller %d", n, from, live.Session.Generation, live.Session.Refreshed)
		case moved:
			wins[n][from].Add(1)
		case live.Session.Generation == from:
			t.Errorf("session %d from %d: not moved, and yet where it was", n, from)
		}
	}
	for from := uint32(1); from <= rounds; from++ {
		var group sync.WaitGroup
		for n := range sessions {
			if from == 1 {
				nodes[0].session(user, byte(n))
			}
			id := token.SessionID{byte(n), 15: 7}
			for caller := range callers {
				group.Go(func() { call(n, caller, id, from) })
			}
			if from > 1 {
				group.Go(func() { call(n, callers, id, from-1) })
			}
		}
		group.Wait()
	}
	for n := range sessions {
		for from := 1; from <= rounds; from++ {
			if won := wins[n][from].Load(); won != 1 {
				t.Errorf("session %d, generation %d: %d winners", n, from, won)
			}
		}
	}
}

// TestLostAnswersBesideAnotherNode: one node's answers are lost at random while
// another refreshes the same session. Where both know their outcome one has won;
// what a winner has is never another's. The other is faster, so in every second
// round it begins when the first one's refresh has happened, or failed.
func TestLostAnswersBesideAnotherNode(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	nodes := []store{openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr)}), openNode(t, postgres.Config{DSN: cluster.DSN(database)})}
	id := nodes[0].session(nodes[0].user("a"), 1)
	stop := make(chan struct{})
	var saboteur sync.WaitGroup
	saboteur.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				proxy.Pass()
				return
			case <-time.After([]time.Duration{50, 5}[i%2] * time.Millisecond):
			}
			[]func(){proxy.Mute, proxy.Pass, proxy.Drop, proxy.Pass}[i%4]()
		}
	})
	from, won := uint32(1), [2]int{}
	for round := range 100 {
		over := make(chan struct{}) // the first node's refresh is
		var moved [2]bool
		var errs [2]error
		var group sync.WaitGroup
		for n, node := range nodes {
			group.Go(func() {
				if n == 0 {
					defer close(over)
				} else if round%2 == 0 {
					node.awaitMove(id, from, over)
				}
				var live authority.SessionWithUser
				live, moved[n], errs[n] = node.Rotate(t.Context(), authority.Rotation{Session: id, From: from, At: int64(n), Expires: 1 << 40})
				if errs[n] == nil && moved[n] && live.Session.Refreshed != int64(n) {
					t.Errorf("from %d: node %d is given the row of another", from, n)
				}
			})
		}
		group.Wait()
		live, err := nodes[1].Session(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		known := errs[0] == nil && errs[1] == nil
		switch now := live.Session.Generation; {
		case errs[1] != nil:
			t.Errorf("from %d: the node whose answers arrive: %v", from, errs[1])
		case moved[0] && moved[1], known && moved[0] == moved[1]:
			t.Errorf("from %d: moved %v", from, moved)
		case now > from+1, known && now != from+1:
			t.Errorf("from %d: generation %d", from, now)
		}
		for n := range nodes {
			if errs[n] == nil && moved[n] {
				won[n]++
			}
		}
		from = live.Session.Generation
	}
	close(stop)
	saboteur.Wait()
	if won[0] == 0 || won[1] == 0 {
		t.Errorf("the nodes won %v: that tests nothing", won)
	}
}

// awaitMove returns when a session has left a generation, or over is closed.
func (s store) awaitMove(id token.SessionID, from uint32, over <-chan struct{}) {
	for {
		live, err := s.Session(s.t.Context(), id)
		if err != nil {
			s.t.Error(err)
		}
		if err != nil || live.Session.Generation != from {
			return
		}
		select {
		case <-over:
			return
		case <-time.After(time.Millisecond): // the next look
		}
	}
}

// TestEndAgainstRefreshes: two nodes refresh a session as fast as they can while
// it is ended. Once that is answered it is over, on both.
func TestEndAgainstRefreshes(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	nodes := []store{openNode(t, postgres.Config{DSN: dsn}), openNode(t, postgres.Config{DSN: dsn})}
	user := nodes[0].user("a")
	suspended, active := authority.Suspended, authority.Active
	ends := []func(token.SessionID) error{
		func(id token.SessionID) error { return nodes[0].EndSession(t.Context(), id) },
		func(token.SessionID) error { return nodes[1].EndSessions(t.Context(), user.ID, token.SessionID{}) },
		func(token.SessionID) error {
			_, err := nodes[1].UpdateUser(t.Context(), user.ID, authority.UserChange{Status: &suspended})
			return err
		},
	}
	for i := range 60 {
		id := nodes[0].session(user, byte(i))
		var refreshes atomic.Int64
		var group sync.WaitGroup
		for _, node := range nodes {
			group.Go(func() {
				for from := uint32(1); ; refreshes.Add(1) {
					live, _, err := node.Rotate(t.Context(), authority.Rotation{Session: id, From: from, Expires: 1 << 40})
					if errors.Is(err, fault.ErrNotFound) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
					from = live.Session.Generation
				}
			})
		}
		for refreshes.Load() < 4 {
			time.Sleep(100 * time.Microsecond)
		}
		if err := ends[i%len(ends)](id); err != nil {
			t.Error(err)
		}
		for n, node := range nodes {
			if _, err := node.Session(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("way %d: at node %d it lives: %v", i%len(ends), n, err)
			}
		}
		group.Wait()
		if _, err := nodes[1].UpdateUser(t.Context(), user.ID, authority.UserChange{Status: &active}); err != nil {
			t.Fatal(err)
		}
	}
}
