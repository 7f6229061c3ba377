//go:build linux

package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
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

// TestEveryWorkerIsAnEntrance signs in at one worker, and refreshes, checks and signs out at the others. The workers do
// not wait for their disks by default, so "pawl store distribute" has to change that.
func TestEveryWorkerIsAnEntrance(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2)
	for _, worker := range cluster.Workers {
		worker.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
	}
	dsns := newCitus(t, cluster)
	var log logBuffer
	var nodes []node
	for _, dsn := range dsns {
		nodes = append(nodes, openNode(t, postgres.Config{DSN: dsn, PrimaryLog: log.logger()}))
	}
	awaitLog(t, &log, "servers of Citus have no synchronous standby")
	requireSettings(t, dsns)
	nodes[0].newRoot()
	for i, dsn := range dsns {
		found, err := postgres.Inspect(t.Context(), postgres.Config{DSN: dsn})
		want := "Citus with 4 shards, coordinator " + cluster.Coordinator.Addr
		if err != nil || found.Layout != want {
			t.Errorf("entrance %d: the layout is %q, %v; want %q", i, found.Layout, err, want)
		}
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

// requireSettings checks the settings of Pawl's user for the connections between the servers of Citus.
func requireSettings(t *testing.T, dsns []string) {
	t.Helper()
	for i, dsn := range dsns {
		for name, want := range map[string]string{"lock_timeout": "4s", "synchronous_commit": "on"} {
			if value := queryText(t, dsn, "SHOW "+name); value != want {
				t.Errorf("server %d: %s is %s, want %s", i, name, value, want)
			}
		}
	}
}

// newRoot creates the administrator without which Inspect returns an error.
func (n node) newRoot() {
	n.t.Helper()
	user := authority.User{Login: "root", Level: authority.Root, Status: authority.Active}
	if _, err := n.CreateUser(n.t.Context(), authority.Rights{}, user, "hash"); err != nil {
		n.t.Fatal(err)
	}
}

// queryText returns the text that a query selects.
func queryText(t *testing.T, dsn, sql string) (text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDistributeRefuses distributes a store where that is impossible. The error names the step that is missing.
func TestDistributeRefuses(t *testing.T) {
	refuses := func(t *testing.T, dsn string, shards int, want string) {
		t.Helper()
		_, err := postgres.Distribute(t.Context(), postgres.Config{DSN: dsn}, shards)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Distribute returned %v, want an error with %q", err, want)
		}
	}
	t.Run("no extension", func(t *testing.T) {
		cluster := pgtest.Shared(t)
		dsn := cluster.DSN(cluster.Database(t))
		refuses(t, dsn, 0, "there is no store")
		open(t, postgres.Config{DSN: dsn}).close()
		refuses(t, dsn, 0, "run CREATE EXTENSION citus")
	})
	t.Run("no worker", func(t *testing.T) {
		cluster := pgtest.StartCitus(t, 0)
		dsn := cluster.Coordinator.DSN(cluster.Database(t))
		open(t, postgres.Config{DSN: dsn}).close()
		refuses(t, dsn, 0, "has no worker")
	})
	t.Run("on a worker", func(t *testing.T) {
		cluster := pgtest.StartCitus(t, 1)
		dsn := cluster.Workers[0].DSN(cluster.Database(t))
		pgtest.Exec(t, dsn, "SET citus.enable_ddl_propagation = off", "CREATE SCHEMA pawl")
		open(t, postgres.Config{DSN: dsn}).close()
		refuses(t, dsn, 0, "name the coordinator")
	})
	t.Run("other shards", func(t *testing.T) {
		dsn := newCitus(t, pgtest.StartCitus(t, 1))[0]
		refuses(t, dsn, 3, "another number of shards")
		if d, err := postgres.Distribute(t.Context(), postgres.Config{DSN: dsn}, 2); err != nil || d.Shards != 2 {
			t.Errorf("the same number of shards: %v, %v", d, err)
		}
	})
}

// TestServerSettings resets a setting of one worker. A node does not start then, and the check of the configuration
// names the worker.
func TestServerSettings(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2)
	dsns := newCitus(t, cluster)
	n := open(t, postgres.Config{DSN: dsns[1]})
	n.newRoot()
	n.close()
	config, err := pgx.ParseConfig(dsns[0])
	if err != nil {
		t.Fatal(err)
	}
	const set = "ALTER ROLE pawl IN DATABASE %s SET %s = %s"
	for setting, value := range map[string]string{
		"lock_timeout": "0", "synchronous_commit": "off", "default_transaction_isolation": "'serializable'",
		"client_min_messages": "error",
	} {
		alter := fmt.Sprintf(set, config.Database, setting, value)
		pgtest.Exec(t, dsns[2], "SET citus.enable_ddl_propagation = off", alter)
		s, err := postgres.Open(t.Context(), postgres.Config{DSN: dsns[1]})
		if err == nil {
			s.Close()
		}
		_, inspectErr := postgres.Inspect(t.Context(), postgres.Config{DSN: dsns[1]})
		for _, err := range []error{err, inspectErr} {
			if err == nil || !strings.Contains(err.Error(), "other settings than Pawl needs") ||
				!strings.Contains(err.Error(), cluster.Workers[1].Addr) {
				t.Errorf("%s = %s: %v", setting, value, err)
			}
		}
		reset := fmt.Sprintf("ALTER ROLE pawl IN DATABASE %s RESET %s", config.Database, setting)
		pgtest.Exec(t, dsns[2], "SET citus.enable_ddl_propagation = off", reset)
		if _, err := postgres.Distribute(t.Context(), postgres.Config{DSN: dsns[0]}, 0); err != nil {
			t.Fatal(err)
		}
	}
	openNode(t, postgres.Config{DSN: dsns[1]})
}

// TestCitusWithoutSuperuser uses a store as a user who owns the database and has no other right.
func TestCitusWithoutSuperuser(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2)
	name := cluster.Database(t)
	var dsns []string
	for _, server := range cluster.Servers() {
		server.Exec(t, "postgres", "CREATE ROLE owner LOGIN", "ALTER DATABASE "+name+" OWNER TO owner")
		dsns = append(dsns, strings.Replace(server.DSN(name), "pawl@", "owner@", 1))
	}
	open(t, postgres.Config{DSN: dsns[0]}).close()
	if _, err := postgres.Distribute(t.Context(), postgres.Config{DSN: dsns[0]}, 0); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, postgres.Config{DSN: dsns[1]})
	if direct, all := n.DirectShards(); direct != all {
		t.Errorf("%d of %d shards are reached at their workers", direct, all)
	}
	user := n.newUser("a")
	for i := range byte(8) {
		id := n.newSession(user, i+1)
		n.mustRotate(id, 1)
		if err := n.EndSession(t.Context(), authority.Rights{}, id); err != nil {
			t.Error(err)
		}
	}
	if _, err := postgres.Distribute(t.Context(), postgres.Config{DSN: dsns[0]}, 0); err != nil {
		t.Errorf("Distribute again: %v", err)
	}
}

// TestWorkerIsBack starts a node while a worker is unreachable. Later the node uses the worker's shards at the worker.
// Then the worker is drained, and the node closes its connections to it.
func TestWorkerIsBack(t *testing.T) {
	cluster := pgtest.StartCitus(t, 2)
	cluster.Proxy = pgtest.NewProxy(t, cluster.Workers[1].Addr)
	dsns := newCitus(t, cluster)
	before := open(t, postgres.Config{DSN: dsns[1]})
	user := before.newUser("a")
	ids := make([]token.SessionID, 16)
	for i := range ids {
		ids[i] = before.newSession(user, byte(i+1))
	}
	before.close()
	cluster.Proxy.Drop()
	n := openNode(t, postgres.Config{DSN: dsns[1] + "&application_name=returning"})
	if direct, all := n.DirectShards(); direct != 2 || all != 4 {
		t.Errorf("without the worker, %d of %d shards are reached at their workers, want 2 of 4", direct, all)
	}
	cluster.Proxy.Pass()
	await := func(what string, reached func() bool) {
		t.Helper()
		for until := time.Now().Add(time.Minute); !reached(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal(what)
			}
		}
	}
	await("the node has not used the worker again", func() bool {
		direct, all := n.DirectShards()
		return direct == all
	})
	const connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'returning'"
	if queryNumber(t, dsns[2], connections) == 0 {
		t.Error("the node has no connection to the worker")
	}
	for _, id := range ids {
		n.mustRotate(id, 1)
	}
	host, port, _ := net.SplitHostPort(cluster.Proxy.Addr)
	pgtest.Exec(t, dsns[0], fmt.Sprintf("SELECT citus_drain_node('%s', %s, 'block_writes')", host, port))
	await("the node has kept its connections to the drained worker", func() bool {
		return queryNumber(t, dsns[2], connections) == 0
	})
	for _, id := range ids {
		n.mustRotate(id, 2)
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
		worker.SetStandbys(t, "missing")
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

// TestSplitShard splits shards while two nodes refresh and check sessions of them.
func TestSplitShard(t *testing.T) {
	dsns := newCitus(t, pgtest.StartCitus(t, 2))
	refreshes := newRefreshes(openNode(t, postgres.Config{DSN: dsns[1]}), openNode(t, postgres.Config{DSN: dsns[2]}))
	for split := range 2 {
		refreshes.during(func() {
			pgtest.Exec(t, dsns[0], "SELECT citus_split_shard_by_split_points(shardid, "+
				"ARRAY[(shardminvalue::bigint + 200000000)::text], (SELECT array_agg(nodeid) FROM "+
				"(SELECT nodeid FROM pg_dist_node WHERE groupid <> 0 LIMIT 2) AS nodes), 'block_writes') "+
				"FROM pg_dist_shard WHERE logicalrelid = 'pawl.session'::regclass ORDER BY shardid LIMIT 1")
		})
		const count = "SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'pawl.session'::regclass"
		if n := queryNumber(t, dsns[0], count); n != float64(split+5) {
			t.Errorf("after split %d there are %v shards", split+1, n)
		}
	}
}

// refreshes are sessions that two nodes refresh.
type refreshes struct {
	nodes       []node
	user        *authority.User
	ids         []token.SessionID
	generations []uint32
}

func newRefreshes(nodes ...node) *refreshes {
	r := &refreshes{nodes: nodes, user: nodes[0].newUser("a")}
	for i := range byte(16) {
		r.ids = append(r.ids, nodes[0].newSession(r.user, i+1))
		r.generations = append(r.generations, 1)
	}
	return r
}

// during makes a change while the nodes refresh each session again and again. Each refresh happens once, and none is
// lost.
func (r *refreshes) during(change func()) {
	stop := make(chan struct{})
	var group sync.WaitGroup
	for i, id := range r.ids {
		n := r.nodes[i%len(r.nodes)]
		group.Go(func() { r.generations[i] = n.rotateUntil(stop, id, r.generations[i]) })
	}
	func() {
		defer group.Wait() // also if change ends the test
		defer close(stop)
		change()
	}()
	for i, id := range r.ids {
		for _, n := range r.nodes {
			found, err := n.Session(n.t.Context(), id)
			if err != nil || found.Session.Generation != r.generations[i] {
				n.t.Errorf("session %d: generation %d, %v; want %d", i, found.Session.Generation, err, r.generations[i])
			}
		}
	}
}

// rotateUntil rotates a session again and again until stop is closed, and returns the last generation. It checks that
// each rotation takes the session to the next generation, that a check sees that, and that a second rotation from the
// earlier generation is refused.
func (n node) rotateUntil(stop <-chan struct{}, id token.SessionID, from uint32) uint32 {
	for generation := from; ; generation++ {
		select {
		case <-stop:
			return generation
		default:
		}
		n.mustRotate(id, generation)
		found, err := n.Session(n.t.Context(), id)
		if err != nil || found.Session.Generation != generation+1 {
			n.t.Errorf("a check after the rotation to %d: generation %d, %v", generation+1,
				found.Session.Generation, err)
		}
		if rotated, err := n.rotate(id, generation); err != nil || rotated {
			n.t.Errorf("a second rotation from %d: rotated %v, %v", generation, rotated, err)
		}
		if n.t.Failed() {
			return generation + 1
		}
	}
}

// moveShards moves each shard of the sessions from one of two workers to the other one.
func moveShards(t *testing.T, dsn, mode string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	const moves = "SELECT format('SELECT citus_move_shard_placement(%s, %L, %s, %L, %s, %L)', " +
		"s.shardid, s.nodename, s.nodeport, n.nodename, n.nodeport, $1::text) " +
		"FROM citus_shards s JOIN pg_dist_node n ON n.groupid <> 0 AND n.nodeport <> s.nodeport " +
		"WHERE s.table_name = 'pawl.session'::regclass"
	rows, err := conn.Query(t.Context(), moves, mode)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(statements) == 0 {
		t.Fatalf("%d shards, %v", len(statements), err)
	}
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// TestMovedShards moves every shard to the other worker and back while two nodes refresh sessions, adds a worker and
// rebalances, and restarts the coordinator. The nodes log that the new worker has wrong settings, and "pawl store
// distribute" sets them while the nodes run.
func TestMovedShards(t *testing.T) {
	cluster := pgtest.StartCitus(t, 3)
	added := cluster.Workers[2]
	cluster.Workers = cluster.Workers[:2]
	dsns := newCitus(t, cluster)
	var log logBuffer
	refreshes := newRefreshes(openNode(t, postgres.Config{DSN: dsns[1], Log: log.logger()}),
		openNode(t, postgres.Config{DSN: dsns[2]}))
	for _, mode := range []string{"force_logical", "block_writes"} {
		refreshes.during(func() { moveShards(t, dsns[0], mode) })
	}
	config, err := pgx.ParseConfig(dsns[0])
	if err != nil {
		t.Fatal(err)
	}
	added.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
	refreshes.during(func() { cluster.AddWorker(t, config.Database, added) })
	refreshes.during(func() {
		pgtest.Exec(t, dsns[0], "SELECT citus_rebalance_start()")
		pgtest.Exec(t, dsns[0], "SELECT citus_rebalance_wait()")
	})
	if n := queryNumber(t, dsns[0], "SELECT count(DISTINCT nodeport) FROM citus_shards "+
		"WHERE table_name = 'pawl.session'::regclass"); n != 3 {
		t.Errorf("the sessions are at %v workers, want 3", n)
	}
	awaitLog(t, &log, "other settings than Pawl needs")
	refreshes.during(func() {
		d, err := postgres.Distribute(t.Context(), postgres.Config{DSN: dsns[0]}, 0)
		if err != nil || d.Shards != 4 || d.Workers != 3 {
			t.Errorf("Distribute after a worker was added: %v, %v; want 4 shards at 3 workers", d, err)
		}
	})
	requireSettings(t, append(dsns, added.DSN(config.Database)))
	refreshes.during(func() {
		cluster.Coordinator.Kill()
		cluster.Coordinator.Restart(t)
		cluster.SetCoordinator(t, config.Database)
		for _, n := range refreshes.nodes {
			n.awaitSignIn(refreshes.user)
		}
	})
}

// awaitSignIn waits until a user can sign in.
func (n node) awaitSignIn(user *authority.User) {
	n.t.Helper()
	for until := time.Now().Add(time.Minute); ; {
		var id token.SessionID
		rand.Read(id[:])
		_, err := n.OpenSession(n.t.Context(), openingOf(user, id))
		if err == nil {
			return
		}
		if time.Now().After(until) {
			n.t.Errorf("the sign-ins of a minute have failed: %v", err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
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
