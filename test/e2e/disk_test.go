//go:build linux

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/smalldisk"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// served is a "pawl serve" with one user on a folder.
type served struct {
	*testing.T
	*testbin.Server
	binary, data, password string

	env []string // more variables
}

const admin = "admin@example.com"

func serve(t *testing.T, data string) *served {
	t.Helper()
	s := &served{T: t, binary: testbin.Build(t), data: data}
	output, err := exec.Command(s.binary, "init", "--login", admin, "--data", data, "--json").Output()
	var created struct{ Password string }
	if err != nil || json.Unmarshal(output, &created) != nil {
		t.Fatalf("pawl init: %v", err)
	}
	s.password = created.Password
	s.start()
	return s
}

func (s *served) start() {
	s.Helper()
	s.Server = testbin.StartServe(s.T, s.binary, s.env, "--data", s.data,
		"--password-memory", "8", "--password-passes", "1", "--metrics-addr", "127.0.0.1:0")
}

// restart kills the server with SIGKILL and starts it again.
func (s *served) restart() {
	s.Helper()
	s.Kill()
	s.start()
}

// shutDown stops the server with an interrupt, as an operator would.
func (s *served) shutDown() {
	s.Helper()
	if err := s.Process.Signal(os.Interrupt); err != nil {
		s.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		s.Fatal(err)
	}
}

// once returns a client without retries.
func (s *served) once(options ...client.Option) *client.Client {
	return testbin.Client(s.T, s.URL, append(options, client.WithRetries(0))...)
}

// scrape returns the server's metrics.
func (s *served) scrape() string {
	s.Helper()
	answer, err := http.Get(s.Metrics)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

func (s *served) login() (string, error) {
	got, err := s.once().Login(s.Context(), admin, s.password)
	return got.Token, err
}

func (s *served) mustLogin() string {
	s.Helper()
	token, err := s.login()
	if err != nil {
		s.Fatal(err)
	}
	return token
}

func (s *served) logout(token string) error {
	return s.once(client.WithBearer(token)).Logout(s.Context())
}

// checkToken fails the test unless the token is valid, or invalid, as wanted.
func (s *served) checkToken(wantValid bool, what, token string) {
	s.Helper()
	_, err := s.once(client.WithBearer(token)).Session(s.Context())
	if wantValid && err != nil || !wantValid && !errors.Is(err, client.ErrInvalidSession) {
		s.Errorf("%s: %v, want a valid token: %v", what, err, wantValid)
	}
}

// chain is a client that refreshes. After a failure it repeats the refresh with the same Idempotency-Key.
type chain struct {
	*served
	token, superseded string // the current token and the previous one
	refreshes         atomic.Int64
}

// run refreshes until stop is closed. It counts the 503 responses.
func (c *chain) run(unavailable *atomic.Int64, stop <-chan struct{}) {
	for !c.Failed() {
		key := fmt.Sprint("refresh-", c.refreshes.Load())
		next, err := c.once().RefreshWithIdempotencyKey(c.Context(), c.token, key)
		switch {
		case err == nil:
			c.superseded, c.token = c.token, next.Token
			c.refreshes.Add(1)
		case errors.Is(err, client.ErrUnavailable):
			unavailable.Add(1)
		default:
			c.Errorf("a refresh returns %v, want success or %v", err, client.ErrUnavailable)
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// check checks that the last acknowledged token of each chain is valid and the superseded token is invalid.
func check(when string, chains []*chain) {
	for _, c := range chains {
		c.checkToken(true, when+", the current token", c.token)
		c.checkToken(false, when+", the superseded token", c.superseded)
	}
}

// await waits until ok returns true. It fails the test after a minute.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if t.Failed() || time.Since(began) > time.Minute {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// load runs the chains, calls meanwhile, and stops the chains once enough returns true.
func load(t *testing.T, chains []*chain, enough func(unavailable int64) bool, meanwhile func()) {
	t.Helper()
	var unavailable atomic.Int64
	var group sync.WaitGroup
	stop := make(chan struct{})
	for _, c := range chains {
		group.Go(func() { c.run(&unavailable, stop) })
	}
	defer group.Wait()
	defer close(stop)
	meanwhile()
	await(t, "the load", func() bool { return enough(unavailable.Load()) })
}

// TestFullDisk fills the disk under load. Requests that need space must return 503 without an effect. Session checks
// and sign-outs must succeed. Once the disk has space again, all requests must succeed, and the reserve exists again.
func TestFullDisk(t *testing.T) {
	disk := smalldisk.Mount(t, "32m")
	ballast := filepath.Join(disk, "ballast")
	s := serve(t, filepath.Join(disk, "data"))
	chains, toEnd := make([]*chain, 8), make([]string, 300)
	for i := range chains {
		chains[i] = &chain{served: s, token: s.mustLogin()}
	}
	for i := range toEnd {
		toEnd[i] = s.mustLogin()
	}
	allRefreshed := func(int64) bool {
		return !slices.ContainsFunc(chains, func(c *chain) bool { return c.refreshes.Load() == 0 })
	}
	manyUnavailable := func(unavailable int64) bool { return unavailable >= 50 }
	load(t, chains, allRefreshed, func() {})
	load(t, chains, manyUnavailable, func() { smalldisk.Fill(t, ballast) })
	check("on a full disk", chains)
	if _, err := s.login(); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("a login on a full disk: %v, want %v", err, client.ErrUnavailable)
	}
	if scrape := s.scrape(); strings.Contains(scrape, "\npawl_store_errors_total 0\n") {
		t.Errorf("on a full disk, the metrics show no store errors:\n%s", scrape)
	}
	if answer, err := http.Get(s.URL + "/readyz"); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("/readyz on a full disk: %v, %v; docs/operations.md states that it does not show one", answer, err)
	} else {
		answer.Body.Close()
	}
	load(t, chains, manyUnavailable, func() {
		for _, token := range toEnd {
			if err := s.logout(token); err != nil {
				t.Fatalf("a sign-out on a full disk: %v", err)
			}
			s.checkToken(false, "ended on a full disk", token)
		}
	})
	s.restart() // only the reserve's space is left, and all changes are committed
	check("after a restart on a full disk", chains)
	for _, token := range toEnd {
		s.checkToken(false, "ended, after a restart", token)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, c := range chains {
		c.refreshes.Store(0)
	}
	load(t, chains, allRefreshed, func() {})
	check("once the disk has space again", chains)
	s.checkToken(true, "a new session", s.mustLogin())
	if reserve, err := os.Stat(filepath.Join(s.data, "pawl.reserve")); err != nil || reserve.Size() != 8<<20 {
		t.Errorf("the changes have not recreated the reserve: %v, %v", reserve, err)
	}
}

// queued returns the number of users whose ended sessions wait for the purge.
func (s *served) queued() int64 {
	s.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(s.data, "pawl.db"), sqlite.OpenReadOnly)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	users, err := sqlitex.ResultInt64(conn.Prep("SELECT count(*) FROM session_purge"))
	if err != nil {
		s.Fatal(err)
	}
	return users
}

// TestPurgeOnFullDisk ends the sessions of a user on a full disk. The purge must remove their rows with the space of
// the reserve, and must leave enough of it for later sign-outs and a restart.
func TestPurgeOnFullDisk(t *testing.T) {
	disk := smalldisk.Mount(t, "32m")
	ballast := filepath.Join(disk, "ballast")
	s := serve(t, filepath.Join(disk, "data"))
	const sessions = 900
	tokens := make([]string, sessions)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := worker; i < sessions && !t.Failed(); i += 8 {
				var err error
				if tokens[i], err = s.login(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	smalldisk.Fill(t, ballast)
	self := s.once(client.WithBearer(tokens[0]))
	ended, err := self.EndOwnSessions(t.Context(), true)
	if err != nil || ended != sessions-1 {
		t.Fatalf("%d sessions ended on a full disk, %v; want %d", ended, err, sessions-1)
	}
	s.checkToken(true, "kept on a full disk", tokens[0])
	s.checkToken(false, "ended on a full disk", tokens[sessions-1])
	await(t, "the purge on a full disk", func() bool { return s.queued() == 0 })
	if err := s.logout(tokens[0]); err != nil {
		t.Errorf("a sign-out on a full disk after the purge: %v", err)
	}
	s.restart()
	for _, token := range tokens {
		s.checkToken(false, "after a restart on a full disk", token)
	}
	if scrape := s.scrape(); !strings.Contains(scrape, "\npawl_sessions 0\n") {
		t.Errorf("sessions remain after the purge:\n%s", scrape)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	await(t, "a login once the disk has space again", func() bool { _, err := s.login(); return err == nil })
}

// TestStartOnFullDisk restarts a server on a full disk. The server must start and end sessions as long as it has its
// reserve. Without the reserve, the server must report the full disk.
func TestStartOnFullDisk(t *testing.T) {
	disk := smalldisk.Mount(t, "32m")
	ballast := filepath.Join(disk, "ballast")
	s := serve(t, filepath.Join(disk, "data"))
	kept, ended := s.mustLogin(), s.mustLogin()
	s.shutDown() // SQLite removes its write-ahead log, so that the next start needs space for a new one
	smalldisk.Fill(t, ballast)
	s.start()
	s.checkToken(true, "after a start on a full disk", kept)
	if err := s.logout(ended); err != nil {
		t.Errorf("a sign-out after a start on a full disk: %v", err)
	}
	s.checkToken(false, "ended after a start on a full disk", ended)
	s.shutDown()
	smalldisk.Fill(t, ballast)
	code, stderr := pawl(t, s.binary, nil, "serve", "--data", s.data, "--addr", "127.0.0.1:0")
	if code != 1 || !strings.Contains(stderr, "its disk is full") {
		t.Errorf("a start without space: exit code %d, standard error %s", code, stderr)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.checkToken(true, "once the disk has space again", kept)
	s.checkToken(false, "ended, once the disk has space again", ended)
	s.checkToken(true, "a new session", s.mustLogin())
}

// TestReadOnlyFolder checks that a server refuses to start on a folder that it cannot write.
func TestReadOnlyFolder(t *testing.T) {
	disk := smalldisk.Mount(t, "32m")
	binary, data := testbin.Build(t), filepath.Join(disk, "data")
	if code, stderr := pawl(t, binary, nil, "init", "--login", admin, "--data", data); code != 0 {
		t.Fatal(stderr)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot make a disk read-only: %s", out)
	}
	checkRefused(t, binary, data, "make it writable", nil)
}
