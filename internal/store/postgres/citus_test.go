//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
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

// TestCapDuringCommit opens a session whose commit has reached one worker and not the other one. A second sign-in of
// the user must wait for that commit, because it could not count the new session.
func TestCapDuringCommit(t *testing.T) {
	const maxSessions = 3
	cluster := pgtest.StartCitus(t, 2)
	cluster.Proxy = pgtest.NewProxy(t, cluster.Workers[1].Addr)
	dsns := newCitus(t, cluster)
	nodes := [2]node{openNode(t, postgres.Config{DSN: dsns[0]}), openNode(t, postgres.Config{DSN: dsns[1]})}
	user := nodes[0].newUser("a")
	openCapped := func(n node, id token.SessionID) {
		opening := openingOf(user, id)
		opening.MaxSessions = maxSessions
		if _, err := n.OpenSession(t.Context(), opening); err != nil {
			t.Error(err)
		}
	}
	first, second := idsOfWorkers(t, dsns[0], cluster, maxSessions+1)
	for _, id := range first[:maxSessions] {
		openCapped(nodes[0], id)
	}
	held, release := cluster.Proxy.HoldAt("COMMIT PREPARED")
	var group sync.WaitGroup
	group.Go(func() { openCapped(nodes[0], second) })
	<-held
	done := make(chan struct{})
	group.Go(func() {
		defer close(done)
		openCapped(nodes[1], first[maxSessions])
	})
	for waits := false; !waits; {
		select {
		case <-done:
			t.Error("a sign-in did not wait for the commit of another one")
			waits = true
		default:
			waits = queryNumber(t, dsns[0], "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
		}
	}
	release()
	group.Wait()
	for _, n := range nodes {
		list, err := n.Sessions(t.Context(), authority.SessionFilter{UserID: user.ID, Limit: 100})
		if err != nil || len(list) != maxSessions {
			t.Errorf("the user has %d sessions, %v; want %d", len(list), err, maxSessions)
		}
	}
}

// idsOfWorkers returns ids of sessions that are at the first worker, and one that is at the second worker.
func idsOfWorkers(
	t *testing.T, dsn string, cluster *pgtest.Citus, number int,
) (first []token.SessionID, second token.SessionID) {
	t.Helper()
	const port = "SELECT nodeport FROM citus_shards WHERE shardid = " +
		"get_shard_id_for_distribution_column('pawl.session', '%x'::uuid)"
	for n := byte(1); len(first) < number || second == (token.SessionID{}); n++ {
		id := token.SessionID{n}
		at := queryNumber(t, dsn, fmt.Sprintf(port, id[:]))
		if strings.HasSuffix(cluster.Workers[0].Addr, fmt.Sprint(":", at)) {
			first = append(first, id)
		} else {
			second = id
		}
	}
	return first, second
}

// TestFailedCommitOfWorker loses the connection to a worker right before the second phase of a commit. The suspension
// of a user is then not confirmed, because the worker still accepts the user's sessions.
func TestFailedCommitOfWorker(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2)
	cluster.Proxy = pgtest.NewProxy(t, cluster.Workers[1].Addr)
	n := openNode(t, postgres.Config{DSN: newCitus(t, cluster)[0]})
	user := n.newUser("a")
	n.newSession(user, 1)
	cluster.Proxy.CutAt("COMMIT PREPARED")
	suspend := authority.UserChange{Status: new(authority.Suspended)}
	_, err := n.UpdateUser(t.Context(), authority.Rights{}, user.ID, suspend)
	if !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("the suspension: %v, want ErrUnavailable", err)
	}
	cluster.Proxy.CutAt("")
}

// TestCancelledWaitOfWorker cancels each wait of a worker for its standby, which does not answer. No refresh is
// confirmed, and no sign-in either, which runs at the coordinator. Once the worker waits for no standby, a refresh
// succeeds.
func TestCancelledWaitOfWorker(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2)
	dsns := newCitus(t, cluster)
	n := openNode(t, postgres.Config{DSN: dsns[0]})
	user := n.newUser("a")
	id := n.newSession(user, 1)
	for _, worker := range cluster.Workers {
		worker.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'missing'", "SELECT pg_reload_conf()")
	}
	stop := make(chan struct{})
	var canceller sync.WaitGroup
	for _, worker := range cluster.Workers {
		canceller.Go(func() { cancelWaits(t, worker, stop) })
	}
	rotated, err := n.rotate(id, 1)
	_, signInErr := n.OpenSession(t.Context(), openingOf(user, sessionID(2)))
	close(stop)
	canceller.Wait()
	if err == nil {
		t.Errorf("a refresh that no standby has was confirmed: rotated %v", rotated)
	}
	if !errors.Is(signInErr, fault.ErrUnavailable) {
		t.Errorf("a sign-in that no standby has: %v, want ErrUnavailable", signInErr)
	}
	for _, worker := range cluster.Workers {
		worker.Exec(t, "postgres", "SET synchronous_commit = 'local'", "ALTER SYSTEM RESET synchronous_standby_names",
			"SELECT pg_reload_conf()")
	}
	found, err := n.Session(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	n.mustRotate(id, found.Session.Generation)
}

// cancelWaits cancels the waits of a server for its standby until stop is closed.
func cancelWaits(t *testing.T, server *pgtest.Cluster, stop chan struct{}) {
	conn, err := pgx.Connect(t.Context(), server.DSN("postgres"))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		const sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestSplitShard splits a shard while a node runs. The node refreshes and checks the sessions of both parts.
func TestSplitShard(t *testing.T) {
	dsns := newCitus(t, pgtest.StartCitus(t, 2))
	n := openNode(t, postgres.Config{DSN: dsns[1]})
	user := n.newUser("a")
	ids := make([]token.SessionID, 40)
	for i := range ids {
		ids[i] = n.newSession(user, byte(i+1))
	}
	pgtest.Exec(t, dsns[0], "SELECT citus_split_shard_by_split_points(shardid, "+
		"ARRAY[(shardminvalue::bigint + 200000000)::text], "+
		"(SELECT array_agg(nodeid) FROM (SELECT nodeid FROM pg_dist_node WHERE groupid <> 0 LIMIT 2) AS nodes), "+
		"'block_writes') FROM pg_dist_shard WHERE logicalrelid = 'pawl.session'::regclass ORDER BY shardid LIMIT 1")
	var group sync.WaitGroup
	for _, id := range ids {
		group.Go(func() {
			n.mustRotate(id, 1)
			if _, err := n.Session(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestCitusConformance(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2, "fsync=off")
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		dsns := newCitus(t, cluster)
		return func() storetest.Store { return open(t, postgres.Config{DSN: dsns[1]}) }
	})
}

// TestCitusRaces runs the tests of races on two nodes, each with another worker as its entrance.
func TestCitusRaces(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2, "fsync=off")
	storetest.RunRaces(t, func(t *testing.T) func() []storetest.Store {
		dsns := newCitus(t, cluster)[1:]
		return func() (nodes []storetest.Store) {
			for _, dsn := range dsns {
				nodes = append(nodes, open(t, postgres.Config{DSN: dsn}))
			}
			return nodes
		}
	})
}
