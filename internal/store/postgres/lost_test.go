//go:build linux

package postgres_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestLostAnswerOfHeldSession: the answer to a commit is lost, and when the node
// asks again another transaction holds the row. Who has won is told so, and not
// that somebody else has: nobody else knows the successor.
func TestLostAnswerOfHeldSession(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	node := openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr)})
	id := node.session(node.user("a"), 1)
	if moved, err := node.rotate(id, 1); err != nil || !moved { // now the connection knows the statement: one message carries it
		t.Fatalf("moved %v, %v", moved, err)
	}
	proxy.Mute()
	var group sync.WaitGroup
	group.Go(func() {
		if moved, err := node.rotate(id, 2); err != nil || !moved {
			t.Errorf("moved %v, %v", moved, err)
		}
	})
	waitFor(t, cluster, database, "SELECT generation FROM pawl.session", 3)
	held := ghost(t, cluster.DSN(database), "SELECT 1 FROM pawl.session FOR UPDATE")
	proxy.Pass()
	group.Wait()
	if _, err := held.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
}

// TestReplaysBeforeTheStandbyHasIt: many ask again for a refresh that no
// synchronous standby has yet, and stand in each other's way. None is given the
// successor, with an Idempotency-Key or without.
func TestReplaysBeforeTheStandbyHasIt(t *testing.T) {
	cluster := pgtest.Start(t)
	node := openNode(t, postgres.Config{DSN: cluster.DSN(cluster.Database(t))})
	user := node.user("a")
	sessions := map[string]token.SessionID{"": node.session(user, 1), "key": node.session(user, 2)}
	standby(t, cluster, "nobody")
	var group sync.WaitGroup
	for key, id := range sessions {
		for range 64 {
			group.Go(func() {
				live, moved, err := node.Rotate(t.Context(), authority.Rotation{Session: id, From: 1, Expires: 1 << 40, IdempotencyKey: authority.HashIdempotencyKey(key)})
				if !errors.Is(err, fault.ErrUnavailable) {
					t.Errorf("key %q: moved %v to generation %d, %v; want ErrUnavailable", key, moved, live.Session.Generation, err)
				}
			})
		}
	}
	group.Wait()
	standby(t, cluster, "")
}

// TestOtherWarnings: only what says that a commit may be lost counts as such.
// The server may warn of other things at every commit, and serve.
func TestOtherWarnings(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	node := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	id := node.session(node.user("a"), 1)
	cluster.Exec(t, database, "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'of something else'; RETURN coalesce(NEW, OLD); END $$",
		"CREATE TRIGGER warn BEFORE UPDATE OR DELETE ON pawl.session FOR EACH ROW EXECUTE FUNCTION warn()")
	if moved, err := node.rotate(id, 1); err != nil || !moved {
		t.Errorf("moved %v, %v", moved, err)
	}
	if err := node.EndSession(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// TestStalenessOfALateAnswer: the answer to a refresh comes long after its
// commit, and another node has ended the session meanwhile. The bound counts
// from the commit, not from the answer.
func TestStalenessOfALateAnswer(t *testing.T) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	const bound = 200 * time.Millisecond
	node := openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr), Staleness: bound})
	other := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	id := node.session(node.user("a"), 1)
	standby(t, cluster, "nobody")
	var group sync.WaitGroup
	group.Go(func() {
		if moved, err := node.rotate(id, 1); err != nil || !moved {
			t.Errorf("moved %v, %v", moved, err)
		}
		if _, err := node.RecentSession(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("a session that ended longer ago than the bound: %v, want ErrNotFound", err)
		}
	})
	waitFor(t, cluster, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", 1)
	proxy.Stall()
	standby(t, cluster, "")
	if err := other.EndSession(t.Context(), id); err != nil {
		t.Error(err)
	}
	time.Sleep(bound) // which has to be over: that is what is asked
	proxy.Pass()
	group.Wait()
}
