//go:build linux

package torture_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// nodesOnPostgres is the number of nodes on a database.
const nodesOnPostgres = 3

// database is one cluster behind a proxy for each node. Their addresses survive restarts of the cluster.
type database struct {
	*testing.T
	cluster *pgtest.Cluster
	fronts  [nodesOnPostgres]*pgtest.Proxy
	name    string
	cuts    int
}

// postgres returns a plan with three nodes on one database that is killed too.
func postgres(t *testing.T, binary string) plan {
	t.Helper()
	d := &database{T: t, cluster: pgtest.Start(t)}
	d.name = d.cluster.Database(t)
	for i := range d.fronts {
		d.fronts[i] = pgtest.NewProxy(t, d.cluster.Addr)
	}
	masterKey := "PAWL_MASTER_KEY=" + seal.NewKey()
	created := testbin.Init(t, binary, []string{masterKey}, "--store", d.cluster.DSN(d.name))
	start := func(number int) node {
		name := fmt.Sprint("node", number)
		s := startServe(t, binary, masterKey, pgtest.DSN(d.name, d.fronts[number].Addr)+"&application_name="+name)
		return node{
			url: s.URL, adminKey: created.APIKey,
			kill: func() {
				s.Kill()
				awaitDisconnect(d.T, d.cluster.DSN("postgres"), name)
			},
			signal: func(sig os.Signal) { _ = s.Process.Signal(sig) }, // an error means that it has exited
		}
	}
	return plan{
		start: start, nodes: nodesOnPostgres, families: 3, outage: d.outage, freeze: d.freeze, partition: d.partition,
		killsOfHistory: 16, // calls without an answer make the check slow
	}
}

// startServe starts "pawl serve". It tries again if the database is too slow, as it may be after a kill.
func startServe(t *testing.T, binary, masterKey, dsn string, more ...string) *testbin.Server {
	t.Helper()
	var err error
	for range 3 {
		var s *testbin.Server
		args := slices.Concat(settings, []string{"--store", dsn}, more)
		s, err = testbin.RunServe(binary, []string{masterKey}, args...)
		if err == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// freeze pauses the processes of the database.
func (d *database) freeze(pause time.Duration) {
	resume := d.cluster.Pause()
	time.Sleep(pause)
	resume()
}

// outage kills the database and starts it again.
func (d *database) outage() {
	d.cluster.Kill()
	d.cluster.Restart(d.T)
	for _, front := range d.fronts {
		front.SetTarget(d.cluster.Addr)
	}
}

// partition cuts a node off from the database: in turn, its connections stall or are closed.
func (d *database) partition(node int, pause time.Duration) {
	d.cuts++
	if d.cuts%2 == 1 {
		d.fronts[node].Stall()
	} else {
		d.fronts[node].Drop()
	}
	time.Sleep(pause)
	d.fronts[node].Pass()
}

// awaitDisconnect waits until the database has closed the connections of a killed node. Until then, the database may
// still execute statements of the node.
func awaitDisconnect(t *testing.T, dsn, application string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	count := func() (left int, err error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // for a connection that hangs after a failover
		defer cancel()
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return 0, err
		}
		defer conn.Close(ctx)
		const count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
		err = conn.QueryRow(ctx, count, application).Scan(&left)
		return left, err
	}
	for {
		left, err := count() // fails if a watchdog restarts the primary meanwhile
		if err == nil && left == 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s was killed, but %d of its connections remain: %v", application, left, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestTorturePostgres is TestTorture for three nodes on one database.
func TestTorturePostgres(t *testing.T) {
	p, wanted := postgres(t, testbin.Build(t)), killsOr(10)
	p.patient, p.verifier = wanted > 10, true
	if testing.Short() {
		wanted, p.patient = min(wanted, 5), false
	}
	r := torture(t, p, wanted, *duration)
	checkReport(t, p, r)
}

// TestTorturePostgresSeesFaults is TestTortureSeesFaults for the PostgreSQL store.
func TestTorturePostgresSeesFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("builds another binary")
	}
	binary := buildMutants(t)
	for _, m := range postgresMutants {
		t.Run(m.name, func(t *testing.T) {
			t.Setenv(mutantVariable, m.name)
			m.checkFound(t, postgres(t, binary))
		})
	}
}
