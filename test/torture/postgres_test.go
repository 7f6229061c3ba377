//go:build linux

package torture_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// database is one cluster behind an address that stays when it is started anew.
type database struct {
	*testing.T
	cluster *pgtest.Cluster
	front   *pgtest.Proxy
	name    string
}

// postgres is a plan for three servers on one database that is killed too.
func postgres(t *testing.T, binary string) plan {
	t.Helper()
	d := &database{T: t, cluster: pgtest.Start(t)}
	d.front, d.name = pgtest.NewProxy(t, d.cluster.Addr), d.cluster.Database(t)
	masterKey := "PAWL_MASTER_KEY=" + seal.NewKey()
	init := exec.Command(binary, "init", "--login", "admin@example.com", "--json", "--store", pgtest.DSN(d.name, d.front.Addr))
	init.Env = append(init.Environ(), masterKey)
	said, err := init.Output()
	var made struct{ APIKey string }
	if err != nil || json.Unmarshal(said, &made) != nil {
		t.Fatalf("pawl init: %v\n%s", err, said)
	}
	start := func(number int) node {
		as := fmt.Sprint("node", number)
		s := testbin.StartServe(t, binary, []string{masterKey}, "--store", pgtest.DSN(d.name, d.front.Addr)+"&application_name="+as,
			"--password-memory", "8", "--password-passes", "1")
		return node{s.URL, made.APIKey, func() {
			_ = s.Process.Kill() // an error says that it has ended
			_ = s.Wait()         // it says that it was killed
			d.awaitEnd(as)
		}}
	}
	return plan{start: start, nodes: 3, users: 4, outage: d.outage}
}

// outage kills the database and starts it again.
func (d *database) outage() {
	d.cluster.Kill()
	d.cluster.Restart(d.T)
	d.front.SetTarget(d.cluster.Addr)
}

// awaitEnd waits until the database has ended the connections of a node that is
// dead: it carries out what it was sent even if nobody is there to be answered.
func (d *database) awaitEnd(application string) {
	d.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.cluster.DSN("postgres"))
	if err != nil {
		d.Fatal(err)
	}
	defer conn.Close(ctx)
	for left := -1; left != 0; {
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", application).Scan(&left)
		if err != nil {
			d.Fatalf("%s is dead, and %d of its connections are left: %v", application, left, err)
		}
	}
}

// TestTorturePostgres is TestTorture with three nodes on one database.
func TestTorturePostgres(t *testing.T) {
	p, wanted := postgres(t, testbin.Build(t)), killsOr(10)
	p.patient = wanted > 10
	if testing.Short() {
		wanted, p.patient = min(wanted, 5), false
	}
	r := torture(t, p, wanted, *duration)
	t.Log(r)
	if !r.good() {
		t.Error("the answers are not those of the contract")
	}
	if r.kills == 0 || r.outages == 0 || r.replays == 0 || p.patient && r.thefts == 0 {
		t.Error("the run did not meet what it is for")
	}
}

// TestTorturePostgresSeesFaults is TestTortureSeesFaults for the PostgreSQL store.
func TestTorturePostgresSeesFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary once more")
	}
	for _, m := range postgresMutants {
		t.Run(m.name, func(t *testing.T) {
			checkFound(t, m, torture(t, postgres(t, m.build(t)), m.kills, 0))
		})
	}
}
