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
)

// TestStalenessOfALateAnswer delays the answer to a refresh until long after its commit, and ends the session on
// another node meanwhile. The age of the state counts from the commit, and not from the answer.
func TestStalenessOfALateAnswer(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	const maxAge = 200 * time.Millisecond
	n := openNode(t, postgres.Config{DSN: pgtest.DSN(database, proxy.Addr), Staleness: maxAge})
	other := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
	id := n.newSession(n.newUser("a"), 1)
	setStandby(t, cluster, "missing") // so that the commit waits until the proxy has stalled
	var group sync.WaitGroup
	group.Go(func() {
		n.mustRotate(id, 1)
		if _, err := n.RecentSession(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("a session that ended more than %v ago: %v, want ErrNotFound", maxAge, err)
		}
	})
	const countCommits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
	awaitNumber(t, cluster.DSN("postgres"), countCommits, 1)
	proxy.Stall()
	setStandby(t, cluster, "")
	if err := other.EndSession(t.Context(), authority.Rights{}, id); err != nil {
		t.Error(err)
	}
	time.Sleep(maxAge) // the age is the subject of the test
	proxy.Pass()
	group.Wait()
}
