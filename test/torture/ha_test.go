//go:build linux

package torture_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/patroni"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// This file causes failovers on three sites: PostgreSQL with synchronous standbys, Patroni and etcd on each of them,
// and a node of Pawl. Nodes are killed between the faults only, because a node with an answer that it should not
// believe is what the test looks for.

var (
	haRounds = flag.Int("ha-rounds", 0, "rounds of TestHA, each with every fault; 0 means a short run with two faults")
	haTTL    = flag.Int("ha-ttl", 6, "ttl of Patroni in seconds")
	haOnly   = flag.String("ha-faults", "", "expression for the names of the faults of a long TestHA")
	haDog    = flag.Bool("ha-watchdog", false, "whether Patroni has a watchdog in TestHA")
	haRoute  = flag.String("ha-route", "", "route of TestHA: own, same or haproxy; \"\" means each in turn")
)

// haFault is a fault of the database.
type haFault struct {
	name  string
	short bool // whether a short run has it too
	cut   bool // whether it needs separate networks
	// inject causes the fault at the site of the leader, and returns when everything runs again.
	inject func(*sites, *patroni.Site)
}

var haFaults = []haFault{
	{name: "switchover", inject: func(s *sites, _ *patroni.Site) { s.Switchover() }},
	{name: "kill -9 of PostgreSQL", inject: func(s *sites, leader *patroni.Site) { leader.KillPostgres() }},
	{name: "kill -9 of Patroni", short: true, inject: func(s *sites, leader *patroni.Site) {
		leader.KillPatroni()
		s.awaitReplaced(leader)
		leader.StartPatroni()
	}},
	{name: "kill -9 of both", inject: func(s *sites, leader *patroni.Site) {
		leader.KillPatroni()
		leader.KillPostgres()
		s.awaitReplaced(leader)
		leader.StartPatroni()
	}},
	{name: "SIGSTOP of PostgreSQL", short: true, inject: func(s *sites, leader *patroni.Site) {
		resume := leader.PausePostgres()
		s.awaitReplaced(leader)
		resume()
	}},
	{name: "SIGSTOP of Patroni", inject: func(s *sites, leader *patroni.Site) {
		resume := leader.PausePatroni()
		s.awaitReplaced(leader)
		resume()
	}},
	{name: "SIGSTOP of both, PostgreSQL first back", inject: func(s *sites, leader *patroni.Site) {
		resumePatroni, resumePostgres := leader.PausePatroni(), leader.PausePostgres()
		s.awaitReplaced(leader)
		resumePostgres()
		s.observe()
		resumePatroni()
	}},
	{name: "SIGSTOP of both, Patroni first back", inject: func(s *sites, leader *patroni.Site) {
		resumePatroni, resumePostgres := leader.PausePatroni(), leader.PausePostgres()
		s.awaitReplaced(leader)
		resumePatroni()
		s.observe()
		resumePostgres()
	}},
	{name: "SIGSTOP of the synchronous standby", inject: func(s *sites, _ *patroni.Site) {
		standby := s.SyncStandby()
		if standby == nil {
			s.Fatal("there is no synchronous standby")
		}
		resume := standby.PausePostgres()
		s.sleep(2 * *haTTL)
		resume()
	}},
	{name: "loss of etcd's quorum", inject: func(s *sites, leader *patroni.Site) {
		resumeFirst, resumeSecond := s.Sites[0].PauseEtcd(), s.Sites[1].PauseEtcd()
		s.sleep(2 * *haTTL)
		resumeFirst()
		resumeSecond()
	}},
	{name: "etcd of the leader's site stopped", inject: func(s *sites, leader *patroni.Site) {
		resume := leader.PauseEtcd()
		s.sleep(2 * *haTTL)
		resume()
	}},
	{name: "site of the leader cut off", cut: true, inject: func(s *sites, leader *patroni.Site) {
		restore := leader.Cut()
		s.awaitReplaced(leader)
		restore()
	}},
	// Only the lease protects the node of this site: it cannot reach the new primary, and the replaced one has no
	// Patroni.
	{name: "site of the leader cut off, its Patroni killed", cut: true, inject: func(s *sites, leader *patroni.Site) {
		leader.KillPatroni()
		restore := leader.Cut()
		s.awaitReplaced(leader)
		restore()
		s.observe()
		leader.StartPatroni()
	}},
	{name: "site of the synchronous standby cut off", cut: true, inject: func(s *sites, _ *patroni.Site) {
		standby := s.SyncStandby()
		if standby == nil {
			s.Fatal("there is no synchronous standby")
		}
		restore := standby.Cut()
		s.sleep(2 * *haTTL)
		restore()
	}},
	{name: "all sites cut off from each other", cut: true, inject: func(s *sites, _ *patroni.Site) {
		s.atEachSite((*patroni.Site).Cut)
	}},
	{name: "etcd of the leader's site cut off", cut: true, inject: func(s *sites, leader *patroni.Site) {
		restore := leader.CutEtcd()
		s.sleep(2 * *haTTL)
		restore()
	}},
	{name: "all members of etcd cut off", cut: true, inject: func(s *sites, _ *patroni.Site) {
		s.atEachSite((*patroni.Site).CutEtcd)
	}},
}

// sites is a cluster of PostgreSQL with a node of Pawl on each site.
type sites struct {
	*testing.T
	*patroni.Cluster
	binary, masterKey, adminKey string
	routes                      [patroni.Sites]string // the DSN of each node
	haproxies                   [patroni.Sites]string // the address of the HAProxy of each site; "" if there is none
	replaced                    int                   // how many primaries were replaced
}

const haDatabase = "pawl"

// startSites starts the sites, with separate networks or on the loopback, and creates the store.
func startSites(t *testing.T, binary string, separate bool) *sites {
	t.Helper()
	if missing := patroni.Missing(); missing != "" {
		t.Skipf("%s is missing; run \"make deps\"", missing)
	}
	options := patroni.Options{
		TTL: *haTTL, LoopWait: max(1, *haTTL/6), RetryTimeout: max(2, *haTTL/3), Separate: separate,
		Watchdog: *haDog,
	}
	s := &sites{T: t, Cluster: patroni.Start(t, options), binary: binary, masterKey: "PAWL_MASTER_KEY=" + seal.NewKey()}
	pgtest.Exec(t, s.DSN("postgres", 0), "CREATE DATABASE "+haDatabase)
	for i := range s.Sites {
		s.awaitDatabase(i)
	}
	dsn := s.DSN(haDatabase, 0)
	s.adminKey = testbin.Init(t, binary, []string{s.masterKey}, "--store", dsn).APIKey
	return s
}

// awaitDatabase waits until the server of a site has the new database.
func (s *sites) awaitDatabase(i int) {
	s.Helper()
	dsn := strings.Replace(pgtest.DSN(haDatabase, s.Sites[i].Postgres), "read-write", "any", 1)
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := pgx.Connect(s.Context(), dsn)
		if err == nil {
			conn.Close(s.Context())
			return
		}
		if time.Now().After(deadline) {
			s.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// awaitReplaced waits until another site has the leader, and observes the two primaries for a while. If the leader
// keeps its role, awaitReplaced returns after some time.
func (s *sites) awaitReplaced(leader *patroni.Site) {
	deadline := time.Now().Add(time.Duration(4**haTTL) * time.Second)
	for time.Now().Before(deadline) {
		if now := s.Leader(); now != nil && now != leader {
			s.replaced++
			s.observe()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// observe leaves the workers some time with the present state of the sites.
func (s *sites) observe() { s.sleep(4) }

// atEachSite cuts something at each site, for longer than the leader keeps its role.
func (s *sites) atEachSite(cut func(*patroni.Site) func()) {
	for _, site := range s.Sites {
		defer cut(site)()
	}
	s.sleep(2 * *haTTL)
}

// resets returns how many machines watchdogs have restarted.
func (s *sites) resets() (all int64) {
	for _, site := range s.Sites {
		all += site.Resets.Load()
	}
	return all
}

func (s *sites) sleep(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }

// useRoute sets how the nodes reach the leader.
func (s *sites) useRoute(route string) {
	for i := range s.routes {
		switch route {
		case "own": // the site of the node is first
			s.routes[i] = s.DSN(haDatabase, i)
		case "same": // the same order on all sites
			s.routes[i] = s.DSN(haDatabase, 0)
		default:
			if s.haproxies[i] == "" {
				s.haproxies[i] = s.startHAProxy(i)
			}
			s.routes[i] = pgtest.DSN(haDatabase, s.haproxies[i])
		}
	}
}

// startNode starts the node of a site.
func (s *sites) startNode(i int) node {
	name := fmt.Sprint("node", i)
	var server *testbin.Server
	s.Sites[i].Inside(func() {
		dsn := s.routes[i] + "&application_name=" + name
		server = startServe(s.T, s.binary, s.masterKey, dsn, "--addr", s.Sites[i].Clients+":0")
	})
	return node{
		url: server.URL, adminKey: s.adminKey,
		kill: func() {
			server.Kill()
			awaitDisconnect(s.T, s.DSN("postgres", 0), name)
		},
		signal: func(sig os.Signal) { _ = server.Process.Signal(sig) }, // an error means that it has exited
	}
}

// runFaults causes faults under load, and checks the answers. It adds the seconds without an answer by fault.
func (s *sites) runFaults(p plan, faults []haFault, unavailable map[string][]outage) *report {
	s.Helper()
	h := &history{began: time.Now()}
	f := newFleet(p.nodes, s.startNode)
	f.pauseAfterNone = time.Second
	stop := make(chan struct{})
	clients := newClients(s.T, p, f, h, newVerifier(s.T, f))
	probe := newProbe(s.T, f)
	led := &leaders{known: map[patroni.Term]bool{}}
	var group sync.WaitGroup
	finish := sync.OnceFunc(func() { close(stop); group.Wait() })
	defer finish()
	defer f.close()
	for _, run := range append(clients, probe.run) {
		group.Go(func() { run(stop) })
	}
	group.Go(func() { led.watch(s.Sites[:], stop) })
	r := &report{}
	for _, fault := range faults {
		probe.awaitAnswer()
		leader := s.Leader()
		if leader == nil {
			s.Fatal("there is no leader")
		}
		began, resets := time.Now(), s.resets()
		fault.inject(s, leader)
		s.AwaitHealthy()
		probe.awaitAnswer()
		gap := led.outageUntil(probe.longestGap(began))
		unavailable[fault.name] = append(unavailable[fault.name], gap)
		s.Logf("%s: %v", fault.name, gap)
		if resets = s.resets() - resets; resets > 0 {
			s.Logf("watchdogs restarted %d machines", resets)
		}
		r.outages++
		for i := range p.nodes { // so that no call without an answer can take effect any more
			f.kill(i, h.now)
			r.kills++
			f.startNode(i)
		}
	}
	finish()
	for i := range p.nodes {
		f.kill(i, h.now)
	}
	h.close()
	r.check(h)
	return r
}

// TestHA causes failovers. It is short in "make test" and long in "make torture-ha".
func TestHA(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three sites")
	}
	faults, separate := selectFaults(t)
	s := startSites(t, testbin.Build(t), separate)
	routes := []string{"own", "same", "haproxy"}
	if *haRoute != "" {
		routes = []string{*haRoute}
	}
	rounds := *haRounds
	if rounds == 0 {
		rounds, routes = 1, routes[:1]
	}
	random := rand.New(rand.NewPCG(cmp.Or(*seed, uint64(time.Now().UnixNano())), 0))
	total := &report{}
	unavailable := map[string][]outage{}
	for round := range rounds * len(routes) {
		route := routes[round%len(routes)]
		s.useRoute(route)
		s.Logf("round %d, route %s", round+1, route)
		shuffled := slices.Clone(faults)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for part := range slices.Chunk(shuffled, faultsOfHistory) {
			p := plan{nodes: patroni.Sites, families: 1, seed: random.Uint64(), name: fmt.Sprint("ha-", total.outages)}
			total.add(s.runFaults(p, part, unavailable))
			if !total.good() {
				t.Fatal(total)
			}
		}
	}
	t.Logf("%d primaries were replaced, and watchdogs restarted %d machines\n%s%s",
		s.replaced, s.resets(), table(unavailable), total)
	if s.replaced == 0 || total.changes == 0 || total.outages != rounds*len(routes)*len(faults) {
		t.Error("the run is not significant")
	}
}

// selectFaults returns the faults of this run, and whether the sites have separate networks. A short run uses the
// loopback. A long run does so too if this process cannot create networks, and then has no fault that needs them.
func selectFaults(t *testing.T) (faults []haFault, separate bool) {
	t.Helper()
	only, err := regexp.Compile(*haOnly)
	if err != nil {
		t.Fatal(err)
	}
	long := *haRounds > 0
	if long {
		err := patroni.CanSeparate()
		if separate = err == nil; !separate {
			t.Logf("no site is cut off: %v", err)
		}
	}
	for _, f := range haFaults {
		wanted := f.short
		if long {
			wanted = only.MatchString(f.name) && (separate || !f.cut)
		}
		if wanted {
			faults = append(faults, f)
		}
	}
	return faults, separate
}

// faultsOfHistory limits the faults that are checked together, because calls without an answer make the check slow.
const faultsOfHistory = 3
