//go:build linux

// Package pgtest starts temporary PostgreSQL servers for tests: real servers with a temporary directory and a free
// port, which stop at the end of the test. It can kill a server, promote a standby, and simulate failures of the
// network.
package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/test/freeaddr"
)

const startLimit = 60 * time.Second

// TB is the part of testing.TB used by this package, so that programs can implement it too.
type TB interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// Cluster is one PostgreSQL server.
type Cluster struct {
	Addr string // host:port

	dir     string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the server has exited
	created atomic.Int64  // number of created databases
	options []string
}

// Start initializes a cluster and starts it. Options are settings of postgresql.conf, for example
// "synchronous_commit=on".
//
// The server does not wait for the disk, because a kill loses nothing that the kernel already has. A benchmark needs
// the option "fsync=on".
func Start(t TB, options ...string) *Cluster {
	t.Helper()
	c := &Cluster{dir: Folder(t), options: append([]string{"fsync=off"}, options...)}
	c.initialize(t)
	c.Restart(t)
	return c
}

// shared is the cluster of Shared.
var shared struct {
	sync.Mutex
	cluster  *Cluster
	cleanups []func()
}

// Shared returns a cluster for all tests of a package that need no more than a database of their own. Main stops it.
func Shared(t TB) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		shared.cluster = Start(sharedTB{t}, "max_connections=300")
	}
	return shared.cluster
}

// sharedTB keeps the cleanups for Main.
type sharedTB struct{ TB }

func (sharedTB) Cleanup(f func()) { shared.cleanups = append(shared.cleanups, f) }

// Main runs the tests of a package that uses Shared, and exits. It is for TestMain.
func Main(m interface{ Run() int }) {
	code := m.Run()
	for _, cleanup := range slices.Backward(shared.cleanups) {
		cleanup()
	}
	os.Exit(code)
}

// template is a tar archive of a new data folder. initdb takes longer than the start of a server, so it runs once in
// a process.
var template struct {
	sync.Mutex
	archive []byte
}

// initialize creates the data folder.
func (c *Cluster) initialize(t TB) {
	t.Helper()
	template.Lock()
	defer template.Unlock()
	if template.archive != nil {
		extract := c.command(t, "tar", "-x", "-f", "-")
		extract.Stdin = bytes.NewReader(template.archive)
		if out, err := extract.CombinedOutput(); err != nil {
			t.Fatalf("tar: %v\n%s", err, out)
		}
		return
	}
	c.run(t, "initdb", "-D", c.data(), "-U", "pawl", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions",
		"--no-sync")
	archive, err := c.command(t, "tar", "-c", "-f", "-", filepath.Base(c.data())).Output()
	if err != nil {
		t.Fatalf("tar: %v", err)
	}
	template.archive = archive
}

// Folder returns a temporary folder. Its owner is the server's user.
func Folder(t TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pawl-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	Own(t, dir)
	return dir
}

// Own makes the server's user the owner of a folder.
func Own(t TB, dir string) {
	t.Helper()
	if id := Credential(t); id != nil {
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// Credential returns the user postgres if the test runs as root, because PostgreSQL refuses to run as root. Otherwise
// it returns nil.
func Credential(t TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("%v; run \"make deps\"", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.dir, "log") }

// Program returns the path of a program of PostgreSQL. On Debian these programs are not in PATH.
func Program(t TB, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing; run \"make deps\"", name)
	}
	return path
}

func (c *Cluster) command(t TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Program(t, name), args...)
	cmd.Dir = c.dir
	// If the test's process dies, the kernel stops the server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: Credential(t), Pdeathsig: syscall.SIGQUIT}
	return cmd
}

func (c *Cluster) run(t TB, name string, args ...string) {
	t.Helper()
	if out, err := c.command(t, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Restart starts the server on another port than before, and returns when the server accepts connections. Another
// process may take the free port before the server does, so Restart tries several ports.
func (c *Cluster) Restart(t TB) {
	t.Helper()
	t.Cleanup(c.Stop)
	var err error
	for range 3 {
		if err = c.start(t); err == nil {
			return
		}
	}
	log, _ := os.ReadFile(c.log())
	t.Fatalf("PostgreSQL does not start: %v\n%s", err, log)
}

func (c *Cluster) start(t TB) error {
	t.Helper()
	c.Addr = FreeAddr(t)
	host, port, _ := net.SplitHostPort(c.Addr)
	args := []string{"-D", c.data(), "-p", port, "-c", "listen_addresses=" + host, "-c", "unix_socket_directories="}
	for _, option := range c.options {
		args = append(args, "-c", option)
	}
	log, err := os.Create(c.log())
	if err != nil {
		return err
	}
	defer log.Close()
	c.cmd = c.command(t, "postgres", args...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	c.exited = exited
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(exited) }(c.cmd)
	return c.await()
}

// FreeAddr returns a local address for a server that the test starts later.
func FreeAddr(t TB) string {
	t.Helper()
	return freeaddr.New(t)
}

// await waits until the server accepts connections.
func (c *Cluster) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.anyDSN("postgres"))
		if err == nil {
			var data string // of another test's server, if that one has taken the port
			err = conn.QueryRow(ctx, "SHOW data_directory").Scan(&data)
			conn.Close(ctx)
			if err == nil && data != c.data() {
				err = fmt.Errorf("another server listens at %s", c.Addr)
			}
			if err == nil {
				return nil
			}
		}
		select {
		case <-c.exited:
			return err
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// DSN returns the address of a database for reading and writing.
func (c *Cluster) DSN(database string) string { return DSN(database, c.Addr) }

// anyDSN returns the address of a database on a primary or a read-only standby.
func (c *Cluster) anyDSN(database string) string {
	return strings.Replace(c.DSN(database), "read-write", "any", 1)
}

// DSN returns the address of a database on one of several hosts. Clients use the writable host.
func DSN(database string, addrs ...string) string {
	u := url.URL{Scheme: "postgres", User: url.User("pawl"), Host: strings.Join(addrs, ","), Path: "/" + database,
		RawQuery: "sslmode=disable&target_session_attrs=read-write"}
	return u.String()
}

// Database creates an empty database and returns its name.
func (c *Cluster) Database(t TB) string {
	t.Helper()
	name := fmt.Sprint("test", c.created.Add(1))
	c.Exec(t, "postgres", "CREATE DATABASE "+name)
	return name
}

// Exec runs statements in a database.
func (c *Cluster) Exec(t TB, database string, statements ...string) {
	t.Helper()
	Exec(t, c.DSN(database), statements...)
}

// Exec runs statements in the database of a DSN.
func Exec(t TB, dsn string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// Kill ends the server and all its processes with SIGKILL, as a power cut would. It returns when all have exited.
func (c *Cluster) Kill() {
	pids := c.pause()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-c.exited
	for _, pid := range pids {
		awaitState(pid, "Z")
	}
}

// Pause stops all processes of the server, like a machine without processor time, until resume is called.
func (c *Cluster) Pause() (resume func()) {
	pids := c.pause()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // an error means that it has exited
		awaitState(pid, "TZ")
	}
	return func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// pause stops all processes of the server, and returns their ids.
func (c *Cluster) pause() []int { return Freeze(c.cmd.Process.Pid) }

// Freeze stops the leader of a server, and returns the ids of all processes of the server. A stopped leader starts no
// process that the list would lack.
func Freeze(leader int) (pids []int) {
	_ = syscall.Kill(leader, syscall.SIGSTOP) // an error means that it has exited
	awaitState(leader, "TZ")
	return append(children(leader), leader)
}

// awaitState waits until a process has reached one of the states or no longer exists.
func awaitState(pid int, states string) {
	for {
		fields := stat(fmt.Sprintf("/proc/%d/stat", pid))
		if len(fields) == 0 || strings.Contains(states, fields[0]) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// CPU returns the processor time used by the server and its child processes.
func (c *Cluster) CPU() (used time.Duration) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	for _, pid := range append([]int{c.cmd.Process.Pid}, children(c.cmd.Process.Pid)...) {
		fields := stat(fmt.Sprintf("/proc/%d/stat", pid))
		if len(fields) < 13 {
			continue
		}
		for _, ticks := range fields[11:13] { // utime and stime
			n, _ := strconv.Atoi(ticks)
			used += time.Duration(n) * tick
		}
	}
	return used
}

// stat returns the fields of /proc/PID/stat after the name. The name may contain spaces.
func stat(path string) []string {
	text, _ := os.ReadFile(path)
	_, rest, _ := bytes.Cut(text, []byte(") "))
	return strings.Fields(string(rest))
}

// children returns the ids of a process's child processes.
func children(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		fields := stat(path) // state ppid ...
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Stop ends a running server immediately.
func (c *Cluster) Stop() {
	if c.cmd == nil || c.cmd.Process == nil {
		return
	}
	select {
	case <-c.exited:
		return
	default:
	}
	_ = c.cmd.Process.Signal(syscall.SIGQUIT) // an immediate shutdown
	select {
	case <-c.exited:
	case <-time.After(10 * time.Second):
		c.Kill()
	}
}

// SetStandbys sets synchronous_standby_names, and returns once every commit follows it. With the name of a missing
// standby, no commit is confirmed. With "", no commit waits for a standby.
func (c *Cluster) SetStandbys(t TB, names string) {
	t.Helper()
	c.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'", "SELECT pg_reload_conf()")
	// The leader has signalled all processes before it starts the process of a connection with the new setting.
	for deadline := time.Now().Add(startLimit); c.standbys(t) != names; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("synchronous_standby_names is %q, want %q", c.standbys(t), names)
		}
	}
	// Commits wait only after the checkpointer has read the setting. It does so between two checkpoints.
	c.Exec(t, "postgres", "CHECKPOINT", "CHECKPOINT")
}

// standbys returns synchronous_standby_names as a new connection has it.
func (c *Cluster) standbys(t TB) (names string) {
	t.Helper()
	c.read(t, "SHOW synchronous_standby_names", &names)
	return names
}

// read reads the only value of a query by a new connection, also of a standby.
func (c *Cluster) read(t TB, sql string, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.anyDSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql).Scan(into); err != nil {
		t.Fatal(err)
	}
}

// Standby copies the cluster and starts the copy as a standby with this application_name. The standby connects to the
// primary at the address via, which may belong to a Proxy.
func (c *Cluster) Standby(t TB, name, via string) *Cluster {
	t.Helper()
	standby := &Cluster{dir: Folder(t), options: c.options}
	conninfo := strings.Replace(DSN("", via), "read-write", "any", 1) + "&application_name=" + name
	standby.run(t, "pg_basebackup", "-D", standby.data(), "-R", "-X", "stream", "-c", "fast", "-d", conninfo)
	standby.Restart(t)
	return standby
}

// Promote turns a standby into a primary, and returns when it accepts writes.
func (c *Cluster) Promote(t TB) {
	t.Helper()
	var promoted bool
	c.read(t, "SELECT pg_promote()", &promoted)
	if !promoted {
		t.Fatal("pg_promote has promoted nothing")
	}
}

// RequirePassword configures the server to require a password from this user.
func (c *Cluster) RequirePassword(t TB, user string) {
	t.Helper()
	path := filepath.Join(c.data(), "pg_hba.conf")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte("host all "+user+" 127.0.0.1/32 scram-sha-256\n"), text...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Exec(t, "postgres", "SELECT pg_reload_conf()")
}
