//go:build linux

package postgres_test

import (
	"errors"
	"strings"
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
	dsn := cluster.DSN(cluster.Database(t))
	proxy := pgtest.NewProxy(t, cluster.Addr)
	const maxAge = 200 * time.Millisecond
	n := openNode(t, postgres.Config{DSN: strings.Replace(dsn, cluster.Addr, proxy.Addr, 1), Staleness: maxAge})
	other := openNode(t, postgres.Config{DSN: dsn})
	user := other.newUser("a")
	// A refresh waits for a feed that begins without a standby.
	awaitNumber(t, dsn, "SELECT count(*) FROM pawl.feed WHERE until > now()", 1)
	for number := byte(1); ; number++ {
		id := other.newSession(user, number)
		cluster.SetStandbys(t, "missing") // so that the commit waits until the proxy has stalled
		var group sync.WaitGroup
		var refreshErr, checkErr error
		group.Go(func() {
			_, refreshErr = n.rotate(id, 1)
			_, checkErr = n.RecentSession(t.Context(), id)
		})
		const countRefreshes = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'" +
			" AND query LIKE '%JOIN pawl.session%'"
		awaitNumber(t, dsn, countRefreshes, 1)
		proxy.Stall()
		cluster.SetStandbys(t, "")
		if err := other.EndSession(t.Context(), authority.Rights{}, id); err != nil {
			t.Error(err)
		}
		time.Sleep(maxAge) // the age is the subject of the test
		proxy.Pass()
		group.Wait()
		if errors.Is(refreshErr, fault.ErrNotFound) && number < 20 {
			continue // the machine was so slow that the node sent the refresh again
		}
		if refreshErr != nil || !errors.Is(checkErr, fault.ErrNotFound) {
			t.Errorf("the refresh: %v; a session that ended more than %v ago: %v, want ErrNotFound",
				refreshErr, maxAge, checkErr)
		}
		return
	}
}
