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

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// smallDisk mounts a disk of so many bytes for the test's time.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be mounted here: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil { // the server may still hold it
			t.Errorf("umount: %s", out)
		}
	})
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
}

// served is a "pawl serve" on a folder, and its one user.
type served struct {
	*testing.T
	*testbin.Server
	binary, data, password string
}

const admin = "admin@example.com"

func serve(t *testing.T, data string) *served {
	t.Helper()
	s := &served{T: t, binary: testbin.Build(t), data: data}
	said, err := exec.Command(s.binary, "init", "--login", admin, "--data", data, "--json").Output()
	var made struct{ Password string }
	if err != nil || json.Unmarshal(said, &made) != nil {
		t.Fatalf("pawl init: %v", err)
	}
	s.password = made.Password
	s.start()
	return s
}

func (s *served) start() {
	s.Helper()
	s.Server = testbin.StartServe(s.T, s.binary, nil, "--data", s.data, "--password-memory", "8", "--password-passes", "1",
		"--metrics-addr", "127.0.0.1:0")
}

// restart kills the server with -9 and starts it again.
func (s *served) restart() {
	s.Helper()
	_ = s.Process.Kill() // an error says that it has ended
	_ = s.Wait()         // it says that it was killed
	s.start()
}

// shutDown ends the server as an operator does.
func (s *served) shutDown() {
	s.Helper()
	if err := s.Process.Signal(os.Interrupt); err != nil {
		s.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		s.Fatal(err)
	}
}

// once is a client that tries once.
func (s *served) once(options ...client.Option) *client.Client {
	return testbin.Client(s.T, s.URL, append(options, client.WithRetries(0))...)
}

// scrape is what the server says to Prometheus.
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

// is wants a token to be good, or dead.
func (s *served) is(wantGood bool, what, token string) {
	s.Helper()
	_, err := s.once(client.WithBearer(token)).Session(s.Context())
	if wantGood && err != nil || !wantGood && !errors.Is(err, client.ErrInvalidSession) {
		s.Errorf("%s: %v", what, err)
	}
}

// chain is a client that refreshes, and asks again with the same
// Idempotency-Key until it is answered.
type chain struct {
	*served
	token, last string // the current one, and the one before it
	turns       atomic.Int64
}

// run refreshes until stop is closed, and counts the answers that say that
// nothing was done.
func (c *chain) run(refused *atomic.Int64, stop <-chan struct{}) {
	for !c.Failed() {
		next, err := c.once().RefreshWithIdempotencyKey(c.Context(), c.token, fmt.Sprint("turn-", c.turns.Load()))
		switch {
		case err == nil:
			c.last, c.token = c.token, next.Token
			c.turns.Add(1)
		case errors.Is(err, client.ErrUnavailable):
			refused.Add(1)
		default:
			c.Errorf("a refresh answers %v", err)
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// check wants of each chain that the last answered token is good, and the one
// before it dead.
func check(when string, chains []*chain) {
	for _, c := range chains {
		c.is(true, when+", the current token", c.token)
		c.is(false, when+", the old token", c.last)
	}
}

// await waits until something is so.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if t.Failed() || time.Since(began) > time.Minute {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// load runs the chains until enough says so.
func load(t *testing.T, chains []*chain, enough func(refused int64) bool, meanwhile func()) {
	t.Helper()
	var refused atomic.Int64
	var group sync.WaitGroup
	stop := make(chan struct{})
	for _, c := range chains {
		group.Go(func() { c.run(&refused, stop) })
	}
	defer group.Wait()
	defer close(stop)
	meanwhile()
	await(t, "the load", func() bool { return enough(refused.Load()) })
}

// TestFullDisk fills the disk in the middle of a load. What needs room answers
// 503 and changes nothing, checks go on, sessions can be ended, and all goes on
// by itself when there is room.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "32m")
	ballast := filepath.Join(disk, "ballast")
	s := serve(t, filepath.Join(disk, "data"))
	chains, leavers := make([]*chain, 8), make([]string, 300)
	for i := range chains {
		chains[i] = &chain{served: s, token: s.mustLogin()}
	}
	for i := range leavers {
		leavers[i] = s.mustLogin()
	}
	turned := func(int64) bool {
		return !slices.ContainsFunc(chains, func(c *chain) bool { return c.turns.Load() == 0 })
	}
	load(t, chains, turned, func() {})
	load(t, chains, func(refused int64) bool { return refused >= 50 }, func() { fill(t, ballast) })
	check("on a full disk", chains)
	if _, err := s.login(); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("on a full disk a login answers %v", err)
	}
	if scrape := s.scrape(); strings.Contains(scrape, "\npawl_store_errors_total 0\n") {
		t.Errorf("on a full disk the scrape is\n%s", scrape)
	}
	load(t, chains, func(refused int64) bool { return refused >= 50 }, func() {
		for _, token := range leavers {
			if err := s.logout(token); err != nil {
				t.Fatalf("on a full disk a session is not ended: %v", err)
			}
			s.is(false, "ended on a full disk", token)
		}
	})
	s.restart() // with what the reserve left: all was committed
	check("after a restart on a full disk", chains)
	for _, token := range leavers {
		s.is(false, "ended, after a restart", token)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, c := range chains {
		c.turns.Store(0)
	}
	load(t, chains, turned, func() {})
	check("with room again", chains)
	s.is(true, "a new session", s.mustLogin())
}

// TestStartOnFullDisk: a server that is stopped on a full disk starts again
// there, and ends sessions; a disk that is full without the reserve is named.
func TestStartOnFullDisk(t *testing.T) {
	disk := smallDisk(t, "32m")
	ballast := filepath.Join(disk, "ballast")
	s := serve(t, filepath.Join(disk, "data"))
	kept, ended := s.mustLogin(), s.mustLogin()
	s.shutDown() // SQLite takes its log away, so that a start needs room for a new one
	fill(t, ballast)
	s.start()
	s.is(true, "after a start on a full disk", kept)
	if err := s.logout(ended); err != nil {
		t.Errorf("after a start on a full disk a session is not ended: %v", err)
	}
	s.is(false, "ended after a start on a full disk", ended)
	s.shutDown()
	fill(t, ballast)
	if code, stderr := pawl(t, s.binary, nil, "serve", "--data", s.data, "--addr", "127.0.0.1:0"); code != 1 || !strings.Contains(stderr, "its disk is full") {
		t.Errorf("a start without room: code %d, %s", code, stderr)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.is(true, "with room again", kept)
	s.is(false, "ended, with room again", ended)
	s.is(true, "a new session", s.mustLogin())
}

// TestReadOnlyFolder: a server does not start on a folder that it cannot write.
func TestReadOnlyFolder(t *testing.T) {
	disk := smallDisk(t, "32m")
	binary, data := testbin.Build(t), filepath.Join(disk, "data")
	if code, stderr := pawl(t, binary, nil, "init", "--login", admin, "--data", data); code != 0 {
		t.Fatal(stderr)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", disk).CombinedOutput(); err != nil {
		t.Skipf("a disk cannot be made read-only here: %s", out)
	}
	refused(t, binary, data, "make it writable", nil)
}
