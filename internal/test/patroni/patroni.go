//go:build linux

// Package patroni starts PostgreSQL on three sites for tests, with a failover by Patroni and etcd: real programs with
// temporary folders on the loopback, which stop at the end of the test. It can kill and pause each of them.
package patroni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// Sites is the number of sites.
const Sites = 3

// Options are the times of Patroni, in whole seconds.
type Options struct {
	TTL          int // how long the leader keeps its key in etcd without a renewal
	LoopWait     int // the pause between two looks of Patroni at its server
	RetryTimeout int // how long Patroni repeats a request to etcd or PostgreSQL
	// Separate gives each site, and each member of etcd, a network of its own, so that the test can cut one off. See
	// CanSeparate. If false, all of them use the loopback.
	Separate bool
	// Watchdog restarts the machine of a leader whose Patroni is silent. A pipe takes the place of /dev/watchdog.
	Watchdog bool
}

// Cluster is PostgreSQL on three sites.
type Cluster struct {
	Sites [Sites]*Site

	t       pgtest.TB
	http    *http.Client
	network *network // nil on the loopback
}

// Site has one server of PostgreSQL, its Patroni, and a member of etcd.
type Site struct {
	Name     string
	Postgres string // host:port
	REST     string // host:port of Patroni
	Clients  string // the host where a node of Pawl at this site listens

	t                pgtest.TB
	index            int
	network          *network // nil on the loopback
	dir              string
	config           string // the path of Patroni's configuration
	etcdURL, peerURL string
	etcd             *process
	watchdog         *os.File      // nil if there is none
	watched          chan struct{} // closed when the watchdog has stopped
	// Resets counts how often the watchdog has restarted the machine.
	Resets atomic.Int64

	mu      sync.Mutex // guards the field below, because a watchdog starts Patroni too
	patroni *process
}

// Missing returns the name of a program that is not installed, or "".
func Missing() string {
	for _, program := range []string{"patroni", "etcd"} {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

// startLimit limits the start of a cluster and each recovery.
const startLimit = 3 * time.Minute

// Start starts a cluster, and returns once it has a leader and a synchronous standby.
func Start(t pgtest.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{t: t, http: &http.Client{Timeout: time.Second}}
	var peers, clients []string
	if o.Separate {
		c.network = newNetwork(t)
	}
	for i := range c.Sites {
		s := newSite(t, i, c.network)
		c.Sites[i] = s
		peers = append(peers, s.Name+"="+s.peerURL)
		clients = append(clients, strings.TrimPrefix(s.etcdURL, "http://"))
	}
	t.Cleanup(c.stop)
	for _, s := range c.Sites {
		s.etcd = s.start(s.etcdNamespace(), "etcd", "--name", s.Name,
			"--data-dir", filepath.Join(s.dir, "etcd"), "--enable-v2=true",
			"--listen-client-urls", s.etcdURL, "--advertise-client-urls", s.etcdURL,
			"--listen-peer-urls", s.peerURL, "--initial-advertise-peer-urls", s.peerURL,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new",
			"--heartbeat-interval", "100", "--election-timeout", "1000", "--log-level", "error")
	}
	for _, s := range c.Sites {
		s.writeConfig(o, clients)
		if o.Watchdog {
			s.watch()
		}
		s.StartPatroni()
	}
	c.AwaitHealthy()
	return c
}

// newSite returns a site whose programs do not run yet. network is nil on the loopback.
func newSite(t pgtest.TB, i int, network *network) *Site {
	t.Helper()
	s := &Site{Name: fmt.Sprint("site", i+1), t: t, dir: pgtest.Folder(t), index: i, network: network}
	if network == nil {
		s.Clients = "127.0.0.1"
		s.Postgres, s.REST = pgtest.FreeAddr(t), pgtest.FreeAddr(t)
		s.etcdURL, s.peerURL = "http://"+pgtest.FreeAddr(t), "http://"+pgtest.FreeAddr(t)
		return s
	}
	site, etcd := network.address(i+1), network.address(11+i)
	s.Clients = network.clientAddress(i, 2)
	s.Postgres, s.REST = site+":5432", site+":8008"
	s.etcdURL, s.peerURL = "http://"+etcd+":2379", "http://"+etcd+":2380"
	return s
}

// writeConfig writes the configuration of Patroni that docs/operations.md shows.
func (s *Site) writeConfig(o Options, etcd []string) {
	s.t.Helper()
	s.config = filepath.Join(s.dir, "patroni.yml")
	watchdog := "{mode: off}"
	if o.Watchdog {
		watchdog = fmt.Sprintf("{mode: required, driver: testing, safety_margin: %d, device: '%s'}",
			safetyMargin, s.watchdogPath())
	}
	text := fmt.Sprintf(`scope: pawl
name: %[1]s
restapi: {listen: '%[2]s', connect_address: '%[2]s'}
etcd: {hosts: '%[3]s'}
bootstrap:
  dcs:
    ttl: %[4]d
    loop_wait: %[5]d
    retry_timeout: %[6]d
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters: {max_connections: 100, shared_buffers: 16MB, wal_keep_size: 256MB, wal_sender_timeout: 5s}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums]
postgresql:
  listen: '%[7]s'
  connect_address: '%[7]s'
  data_dir: '%[8]s'
  bin_dir: '%[9]s'
  pgpass: '%[10]s'
  authentication: {superuser: {username: pawl}, replication: {username: replicator}}
  pg_hba: [host all all samenet trust, host replication all samenet trust]
  parameters: {unix_socket_directories: ''}
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
watchdog: %[11]s
`, s.Name, s.REST, strings.Join(etcd, ","), o.TTL, o.LoopWait, o.RetryTimeout, s.Postgres,
		s.data(), filepath.Dir(pgtest.Program(s.t, "postgres")), filepath.Join(s.dir, "pgpass"), watchdog)
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Site) data() string { return filepath.Join(s.dir, "data") }

// namespace and etcdNamespace return the network namespaces of a site, or "" on the loopback.
func (s *Site) namespace() string {
	if s.network == nil {
		return ""
	}
	return s.network.site(s.index)
}

func (s *Site) etcdNamespace() string {
	if s.network == nil {
		return ""
	}
	return s.network.etcd(s.index)
}

// Inside calls f in a thread with the network of the site, so that the processes that f starts run at the site.
func (s *Site) Inside(f func()) {
	s.t.Helper()
	s.network.enter(s.namespace(), f)
}

// Cut cuts the site off from the other ones until restore is called. The cluster must have separate networks.
func (s *Site) Cut() (restore func()) { return s.network.unplug(s.network.uplink(s.index)) }

// CutEtcd cuts the site's member of etcd off from everything, also from its own site, until restore is called. The
// cluster must have separate networks.
func (s *Site) CutEtcd() (restore func()) { return s.network.unplug(s.network.etcdPort(s.index)) }

// stop kills everything.
func (c *Cluster) stop() {
	for _, s := range c.Sites {
		if s == nil {
			continue
		}
		if s.watchdog != nil {
			s.watchdog.Close()
			<-s.watched
		}
		s.KillPatroni()
		if s.etcd != nil {
			s.etcd.kill()
		}
		s.KillPostgres()
	}
}

// KillPatroni kills Patroni with SIGKILL. PostgreSQL lives on.
func (s *Site) KillPatroni() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.patroni != nil {
		s.patroni.kill()
	}
}

// StartPatroni starts Patroni unless it runs, and returns at once.
func (s *Site) StartPatroni() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.patroni == nil || s.patroni.hasExited() {
		s.patroni = s.start(s.namespace(), "patroni", s.config)
	}
}

// PausePatroni stops Patroni until resume is called.
func (s *Site) PausePatroni() (resume func()) {
	s.mu.Lock()
	paused := s.patroni
	s.mu.Unlock()
	paused.signal(syscall.SIGSTOP)
	return func() { paused.signal(syscall.SIGCONT) }
}

// PauseEtcd stops the site's member of etcd until resume is called.
func (s *Site) PauseEtcd() (resume func()) {
	s.etcd.signal(syscall.SIGSTOP)
	return func() { s.etcd.signal(syscall.SIGCONT) }
}

// leaderPID returns the process id of the leader of PostgreSQL, or 0 if there is none.
func (s *Site) leaderPID() int {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.t.Fatal(err)
		}
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(line)
	// The file remains after a kill, and another process may have the id now.
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if !strings.Contains(string(command), s.data()) {
		return 0
	}
	return pid
}

// KillPostgres kills all processes of PostgreSQL with SIGKILL.
func (s *Site) KillPostgres() {
	pid := s.leaderPID()
	if pid == 0 {
		return
	}
	for _, pid := range pgtest.Freeze(pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // an error means that it has exited
	}
}

// PausePostgres stops all processes of PostgreSQL until resume is called.
func (s *Site) PausePostgres() (resume func()) {
	pid := s.leaderPID()
	if pid == 0 {
		return func() {}
	}
	pids := pgtest.Freeze(pid)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // an error means that it has exited
	}
	return func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// member is a server in the view of Patroni.
type member struct {
	Name, Role, State string
	Timeline          int
}

// members returns the servers in the view of the leader.
func (c *Cluster) members() []member {
	leader := c.Leader()
	if leader == nil {
		return nil
	}
	resp, err := c.http.Get("http://" + leader.REST + "/cluster")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var view struct{ Members []member }
	if json.NewDecoder(resp.Body).Decode(&view) != nil {
		return nil
	}
	return view.Members
}

// Leader returns the site whose Patroni answers that it has the leader, or nil if there is none.
func (c *Cluster) Leader() *Site {
	var leaders [Sites]bool
	var group sync.WaitGroup
	for i, s := range c.Sites {
		group.Go(func() {
			resp, err := c.http.Get("http://" + s.REST + "/primary")
			if err == nil {
				resp.Body.Close()
				leaders[i] = resp.StatusCode == http.StatusOK
			}
		})
	}
	group.Wait()
	if i := slices.Index(leaders[:], true); i >= 0 {
		return c.Sites[i]
	}
	return nil
}

// Term identifies the time of one leader. A leader that restarts, or is promoted again, has another term.
type Term struct {
	Site     string
	Timeline int
	Started  string // when its PostgreSQL has started
}

// Term returns the present term of the site's server. ok is false unless Patroni answers that the server has the
// leader's key and is writable.
func (s *Site) Term(client *http.Client) (term Term, ok bool) {
	resp, err := client.Get("http://" + s.REST + "/primary")
	if err != nil {
		return Term{}, false
	}
	defer resp.Body.Close()
	var state struct {
		Role     string
		Timeline int
		Started  string `json:"postmaster_start_time"`
	}
	err = json.NewDecoder(resp.Body).Decode(&state)
	// Patroni answers 200 as soon as it has the key, before the promotion. Without an answer of its server it returns
	// no start time.
	writable := state.Role == "master" || state.Role == "primary"
	ok = err == nil && resp.StatusCode == http.StatusOK && writable && state.Started != ""
	return Term{Site: s.Name, Timeline: state.Timeline, Started: state.Started}, ok
}

// SyncStandby returns the site of the synchronous standby, or nil if there is none.
func (c *Cluster) SyncStandby() *Site {
	for _, m := range c.members() {
		if m.Role == "sync_standby" {
			return c.Sites[slices.IndexFunc(c.Sites[:], func(s *Site) bool { return s.Name == m.Name })]
		}
	}
	return nil
}

// AwaitHealthy returns once all servers run on one timeline: a leader, a synchronous standby and another one.
func (c *Cluster) AwaitHealthy() {
	c.t.Helper()
	deadline := time.Now().Add(startLimit)
	for {
		all := c.members()
		if isHealthy(all) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the cluster did not recover: %+v\n%s", all, c.logs())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func isHealthy(all []member) bool {
	roles := map[string]int{}
	for _, m := range all {
		if m.State != "running" && m.State != "streaming" || m.Timeline != all[0].Timeline {
			return false
		}
		roles[m.Role]++
	}
	return len(all) == Sites && roles["leader"] == 1 && roles["sync_standby"] == 1
}

// Switchover makes Patroni exchange the leader in an orderly way.
func (c *Cluster) Switchover() {
	c.t.Helper()
	leader := c.Leader()
	if leader == nil {
		c.t.Fatal("there is no leader to switch over from")
	}
	patient := &http.Client{Timeout: time.Minute}
	body := strings.NewReader(fmt.Sprintf(`{"leader": %q}`, leader.Name))
	resp, err := patient.Post("http://"+leader.REST+"/switchover", "application/json", body)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("the switchover was refused: %s", resp.Status)
	}
}

// DSN returns the address of a database, with the hosts in an order that begins with a site.
func (c *Cluster) DSN(database string, first int) string {
	var hosts []string
	for i := range c.Sites {
		hosts = append(hosts, c.Sites[(first+i)%Sites].Postgres)
	}
	return pgtest.DSN(database, hosts...)
}

// logs returns the ends of the logs, for an error.
func (c *Cluster) logs() string {
	var all strings.Builder
	const shown = 3000
	for _, s := range c.Sites {
		for _, name := range []string{"patroni.log", "etcd.log"} {
			text, _ := os.ReadFile(filepath.Join(s.dir, name))
			fmt.Fprintf(&all, "%s, %s:\n%s\n", s.Name, name, text[max(0, len(text)-shown):])
		}
	}
	return all.String()
}
