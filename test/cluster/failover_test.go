//go:build linux

package cluster_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

var failovers = flag.Int("failovers", 1, "number of primaries that TestFailover kills")

const chains = 16

// TestFailover repeatedly kills the primary with SIGKILL under load and promotes its synchronous standby. No refresh
// that was answered with 200 may get lost. The link to the standby fails first, so that the primary has commits that
// the standby lacks. No client may have a 200 for one of those commits.
func TestFailover(t *testing.T) {
	primary := pgtest.Start(t, "synchronous_commit=on")
	database := primary.Database(t)
	// The nodes use two addresses that stay the same. The clusters behind them change.
	front := [2]*pgtest.Proxy{pgtest.NewProxy(t, primary.Addr), pgtest.NewProxy(t, "127.0.0.1:1")}
	c := startNodes(t, 3, pgtest.DSN(database, front[0].Addr, front[1].Addr))
	var f figures
	for round := range *failovers {
		standby, link := startStandby(t, primary, round)
		front[(round+1)%2].SetTarget(standby.Addr)
		finish := runChains(c, &f, chains)
		seen := f.refreshes.Load()
		await(t, time.Minute, "refreshes before the kill", func() bool {
			return t.Failed() || f.refreshes.Load() > seen+10*chains
		})
		unavailable := f.unavailable.Load()
		link.Stall() // and wait until the primary has data that the standby lacks
		awaitTrue(t, primary, "SELECT bool_and(flush_lsn < pg_current_wal_flush_lsn()) FROM pg_stat_replication")
		primary.Kill()
		link.Drop()
		await(t, time.Minute, "requests to find no store", func() bool {
			return t.Failed() || notReady(c) && f.unavailable.Load() > unavailable
		})
		standby.Promote(t)
		seen = f.refreshes.Load()
		await(t, time.Minute, "refreshes after the promotion", func() bool {
			return t.Failed() || f.refreshes.Load() > seen+10*chains
		})
		finish()
		primary = standby
		fmt.Fprintf(os.Stderr, "failover %d of %d: %s\n", round+1, *failovers, &f)
	}
	f.report(t, "failover")
}

// notReady reports whether /readyz of at least one node returns 503.
func notReady(c *nodes) bool {
	for _, node := range c.all {
		resp, err := c.http.Get(node.url + "/readyz")
		if err != nil {
			c.Error(err)
			return true
		}
		resp.Body.Close()
		if resp.StatusCode == 503 {
			return true
		}
	}
	return false
}

// startStandby starts a synchronous standby: the primary acknowledges a commit only after the standby has it. The proxy
// is the link between them.
func startStandby(t *testing.T, primary *pgtest.Cluster, round int) (*pgtest.Cluster, *pgtest.Proxy) {
	t.Helper()
	name := fmt.Sprint("standby", round)
	link := pgtest.NewProxy(t, primary.Addr)
	standby := primary.Standby(t, name, link.Addr)
	primary.SetStandbys(t, name)
	awaitTrue(t, primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
	return standby, link
}

// awaitTrue waits until a query returns true.
func awaitTrue(t *testing.T, cluster *pgtest.Cluster, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, cluster.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	await(t, time.Minute, sql, func() bool {
		var result bool
		return conn.QueryRow(ctx, sql).Scan(&result) == nil && result
	})
}

// TestDatabaseCutOff disconnects the database for ten seconds, in the two ways in which networks fail: packets are
// lost, or connections are refused. Requests must return 503 without a partial effect, and must succeed again without
// intervention.
func TestDatabaseCutOff(t *testing.T) {
	cluster := pgtest.Start(t)
	cuts := map[string]func(*pgtest.Proxy){"stalled": (*pgtest.Proxy).Stall, "dropped": (*pgtest.Proxy).Drop}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			proxy := pgtest.NewProxy(t, cluster.Addr)
			c := startNodes(t, 2, pgtest.DSN(cluster.Database(t), proxy.Addr))
			var f figures
			token := c.login(0)
			finish := runChains(c, &f, chains)
			await(t, time.Minute, "refreshes", func() bool {
				return t.Failed() || f.refreshes.Load() > 5*chains
			})
			cut(proxy)
			begun := time.Now()
			await(t, time.Minute, "the nodes to notice", func() bool { return t.Failed() || notReady(c) })
			if status := c.session(0, token); status != 503 {
				t.Errorf("a session check without a store: %d, want 503", status)
			}
			await(t, time.Minute, "10 seconds to pass", func() bool { return time.Since(begun) > 10*time.Second })
			proxy.Pass()
			seen := f.refreshes.Load()
			await(t, time.Minute, "refreshes after the cut", func() bool {
				return t.Failed() || f.refreshes.Load() > seen+5*chains
			})
			finish()
			f.report(t, "cut off, "+name)
		})
	}
}

// TestLostCommitAnswers loses the database's responses to commits. The node must find out whether the refresh happened.
func TestLostCommitAnswers(t *testing.T) {
	cluster := pgtest.Start(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	c := startNodes(t, 1, pgtest.DSN(cluster.Database(t), proxy.Addr))
	for range 10 {
		token := c.login(0)
		proxy.Mute()
		time.AfterFunc(300*time.Millisecond, proxy.Pass)
		status, next := c.refresh(0, token, "")
		if status != 200 {
			t.Fatalf("a refresh whose commit got no response: %d, want 200", status)
		}
		c.everywhere(next, 200)
		c.everywhere(token, 401)
		proxy.Pass()
	}
}
