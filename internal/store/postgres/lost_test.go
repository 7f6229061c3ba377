//go:build linux

package postgres_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestLostAnswerOfHeldSession loses the answer to a commit, and locks the row before the node tries again. The caller
// still wins: no other caller has the successor.
func TestLostAnswerOfHeldSession(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	dsn := cluster.DSN(database)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	n := openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr)})
	id := n.newSession(n.newUser("a"), 1)
	n.mustRotate(id, 1) // prepares the statement, so that the next rotation is one message
	proxy.Mute()
	var group sync.WaitGroup
	group.Go(func() { n.mustRotate(id, 2) })
	awaitNumber(t, dsn, "SELECT generation FROM pawl.session", 3)
	lock := openTransaction(t, dsn, "SELECT 1 FROM pawl.session FOR UPDATE")
	proxy.Pass()
	group.Wait()
	endTransaction(t, lock, "ROLLBACK")
}

// TestLostAnswersBesideAnotherNode loses the answers to one node now and then, while another node rotates the same
// session. If both nodes return without an error, one of them has won. A winner never gets the row of the other one.
func TestLostAnswersBesideAnotherNode(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	nodes := [2]node{
		openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr)}),
		openNode(t, postgres.Config{DSN: cluster.DSN(database)}),
	}
	id := nodes[0].newSession(nodes[0].newUser("a"), 1)
	stop := make(chan struct{})
	var saboteur sync.WaitGroup
	var answered atomic.Int64 // calls of the first node
	saboteur.Go(func() { loseAnswers(proxy, &answered, stop) })
	from := uint32(1)
	var wins [2]int
	for round := range 100 {
		results := rotateOnBoth(t, nodes, id, from, round%2 == 0)
		if results[0].err == nil {
			answered.Add(1)
		}
		now, err := nodes[1].Session(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		generation := now.Session.Generation
		bothReturned := results[0].err == nil && results[1].err == nil
		switch {
		case results[1].err != nil:
			t.Errorf("from %d: the node that gets all answers: %v", from, results[1].err)
		case results[0].rotated && results[1].rotated, bothReturned && results[0].rotated == results[1].rotated:
			t.Errorf("from %d: rotated %v and %v", from, results[0].rotated, results[1].rotated)
		case generation > from+1, bothReturned && generation != from+1:
			t.Errorf("from %d: generation %d", from, generation)
		}
		for i, result := range results {
			if result.err == nil && result.rotated {
				wins[i]++
			}
		}
		from = generation
	}
	close(stop)
	saboteur.Wait()
	if wins[0] == 0 || wins[1] == 0 {
		t.Errorf("the nodes won %v times: the test needs wins of both", wins)
	}
}

// loseAnswers loses the answers through a proxy now and then, until stop is closed. In between it waits for an answer,
// because a busy machine may take longer than the pause for a new connection.
func loseAnswers(proxy *pgtest.Proxy, answered *atomic.Int64, stop <-chan struct{}) {
	for i := 0; ; i++ {
		before := answered.Load()
		for began := time.Now(); time.Since(began) < 50*time.Millisecond || answered.Load() == before; {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
		lose := []func(){proxy.Mute, proxy.Drop}[i%2]
		lose()
		time.Sleep(5 * time.Millisecond)
		proxy.Pass()
	}
}

type rotateResult struct {
	rotated bool
	err     error
}

// rotateOnBoth rotates a session on two nodes. If firstLeads is set, the second node begins when the first one has
// rotated the session or has failed, because the second node would win most of the time otherwise.
func rotateOnBoth(t *testing.T, nodes [2]node, id token.SessionID, from uint32, firstLeads bool) [2]rotateResult {
	t.Helper()
	firstReturned := make(chan struct{})
	var results [2]rotateResult
	var group sync.WaitGroup
	for i, n := range nodes {
		group.Go(func() {
			if i == 0 {
				defer close(firstReturned)
			} else if firstLeads {
				n.awaitRotation(id, from, firstReturned)
			}
			r := authority.Rotation{Session: id, From: from, At: int64(i), Lives: farLives}
			result, rotated, err := n.Rotate(t.Context(), r)
			results[i] = rotateResult{rotated: rotated, err: err}
			if err == nil && rotated && result.Session.Refreshed != int64(i) {
				t.Errorf("from %d: node %d got the row of the other node", from, i)
			}
		})
	}
	group.Wait()
	return results
}

// awaitRotation returns when a session has left a generation, or cancel is closed.
func (n node) awaitRotation(id token.SessionID, from uint32, cancel <-chan struct{}) {
	for {
		result, err := n.Session(n.t.Context(), id)
		if err != nil {
			n.t.Error(err)
		}
		if err != nil || result.Session.Generation != from {
			return
		}
		select {
		case <-cancel:
			return
		case <-time.After(time.Millisecond):
		}
	}
}
