//go:build linux

package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

var (
	stops = flag.Int("stops", 0, "number of stops on each store in TestStops; 0 means a short run")
	seed  = flag.Uint64("seed", 0, "seed of the choices of TestStops; 0 means a random seed")
)

// exitLimit is how long after SIGTERM a server may run before systemd kills it (deploy/systemd/pawl.service). It leaves
// a slow machine 5 seconds more than docs/operations.md states.
const exitLimit = 15 * time.Second

// stopped is a store whose server is started, put under load and stopped again and again.
type stopped struct {
	*testing.T
	binary    string
	env, args []string
	created   testbin.Created
	collector string // the URL of a collector of traces that never responds
	receiver  *pushReceiver
	random    *rand.Rand
	long      bool
	chains    []*tokenChain
	logins    int           // sign-ins that a server has answered
	logouts   int           // sign-outs that a server has answered
	events    int           // sign-ins in the audit
	lastEvent int64         // the id of the last one
	longest   time.Duration // from SIGTERM to an exit
}

// TestStops stops servers at random moments: under load, with SIGHUP or a second SIGTERM, and during their start. Each
// must exit with 0 in time. Each answer must be right, a 503, or cut off. After the next start, each acknowledged
// refresh must hold, the audit must have each acknowledged sign-in, and a receiver must get each acknowledged sign-out.
// The collector of the traces and the receiver do not respond to some of the servers. The long form also leaves
// requests unfinished, so that the drain reaches its limit. With -race, it tests a server with the race detector.
func TestStops(t *testing.T) {
	t.Parallel()
	var flags []string
	if raceDetector && *stops > 0 {
		flags = append(flags, "-race", "-gcflags=modernc.org/sqlite/lib=-race=false") // as in the Makefile
	}
	binary := testbin.Build(t, flags...)
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		testStops(t, binary, nil, "--data", filepath.Join(t.TempDir(), "data"))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		cluster := pgtest.Start(t)
		store := cluster.DSN(cluster.Database(t))
		testStops(t, binary, []string{"PAWL_STORE=" + store, "PAWL_MASTER_KEY=" + seal.NewKey()})
	})
}

func testStops(t *testing.T, binary string, env []string, store ...string) {
	s := &stopped{T: t, binary: binary, env: env, long: *stops > 0, collector: hangingServer(t)}
	number := *seed
	if number == 0 {
		number = rand.Uint64()
	}
	t.Logf("-seed %d", number)
	s.random = rand.New(rand.NewPCG(number, 0))
	s.args = append(store, "--password-memory", "8", "--password-passes", "1", "--metrics-addr", "127.0.0.1:0",
		"--algorithm", "ES256", "--private-receivers")
	s.created = testbin.Init(t, binary, env, append(store, "--algorithm", "ES256")...)
	s.receiver = newPushReceiver(t)
	for range 9 {
		s.chains = append(s.chains, new(tokenChain))
	}
	rounds := *stops / 2
	if !s.long {
		rounds = 3
	}
	for i := 0; i < rounds && !t.Failed(); i++ {
		s.stopDuringStart(i)
		s.stopUnderLoad(i)
	}
	s.receiver.hangs.Store(false)
	server := testbin.StartServe(t, binary, env, s.args...)
	defer func() {
		if t.Failed() {
			c := testbin.Client(t, server.URL, client.WithAPIKey(s.created.APIKey))
			receivers, err := c.Receivers(t.Context())
			t.Logf("the receiver has %d tokens of %d; %+v, %v", s.receiver.count(), s.logouts, receivers, err)
		}
	}()
	t.Logf("%d stops, the longest in %v; %d sign-ins, %d sign-outs", 2*rounds, s.longest, s.logins, s.logouts)
	await(t, "the receiver to get each sign-out", func() bool { return s.receiver.count() >= s.logouts })
}

// hangingServer returns the URL of a server that never responds.
func hangingServer(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return "http://" + listener.Addr().String()
}

// upTo returns a random duration below a limit.
func (s *stopped) upTo(limit time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(limit)))
}

// environment returns the variables of the server in a round. Each fourth server has the collector. The race detector
// must not add its second to the exit.
func (s *stopped) environment(round int) []string {
	procs := fmt.Sprint("GOMAXPROCS=", []int{1, 2, 8}[round%3])
	env := append([]string{procs, "GORACE=atexit_sleep_ms=0"}, s.env...)
	if round%4 == 1 {
		env = append(env, "OTEL_EXPORTER_OTLP_ENDPOINT="+s.collector)
	}
	return env
}

// stopDuringStart stops a server that may not be ready yet. A signal that comes before main kills the process; the log
// is empty then.
func (s *stopped) stopDuringStart(round int) {
	server := s.startWithoutWait(s.environment(round))
	time.Sleep(s.upTo(250 * time.Millisecond))
	begun := s.terminate(server)
	exit, ok := errors.AsType[*exec.ExitError](s.await(server, begun))
	if ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM && server.Log() == "" {
		return
	}
	s.checkExit(server, begun, false)
}

// startWithoutWait starts a server with these additional variables.
func (s *stopped) startWithoutWait(env []string) *testbin.Program {
	cmd := exec.Command(s.binary, append([]string{"serve", "--addr", "127.0.0.1:0"}, s.args...)...)
	cmd.Env = append(os.Environ(), env...)
	server, err := testbin.StartProgram(cmd)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(server.Kill)
	return server
}

// terminate sends SIGTERM, and returns when.
func (s *stopped) terminate(server *testbin.Program) time.Time {
	begun := time.Now()
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		s.Errorf("the server exited by itself: %v\n%s", server.Wait(), server.Log())
	}
	return begun
}

// await returns the result of a server that was stopped. A server that takes too long prints its goroutines.
func (s *stopped) await(server *testbin.Program, begun time.Time) error {
	select {
	case <-server.Exited():
		s.longest = max(s.longest, time.Since(begun))
	case <-time.After(time.Until(begun.Add(exitLimit))):
		_ = server.Process.Signal(syscall.SIGQUIT) // an error means that it has exited
		s.Errorf("the server still ran %v after SIGTERM", exitLimit)
	}
	return server.Wait()
}

// checkExit requires a clean exit in time, and a log without an error.
func (s *stopped) checkExit(server *testbin.Program, begun time.Time, ready bool) {
	err := s.await(server, begun)
	if err != nil {
		s.Errorf("after SIGTERM: %v\n%s", err, server.Log())
		return
	}
	log := server.Log()
	if ready && !strings.Contains(log, `"msg":"stopped"`) || strings.Contains(log, `"level":"ERROR"`) {
		s.Errorf("the log has an error, or lacks the end:\n%s", log)
	}
}

// stopUnderLoad starts a server, checks what the server before it has acknowledged, and stops it under load.
func (s *stopped) stopUnderLoad(round int) {
	server, err := testbin.RunServe(s.binary, s.environment(round), s.args...)
	if err != nil {
		s.Fatal(err)
	}
	defer server.Kill()
	s.checkChains(server.URL)
	s.checkAudit(server.URL)
	if round == 0 {
		c := testbin.Client(s.T, server.URL, client.WithAPIKey(s.created.APIKey))
		if _, err := c.AddReceiver(s.Context(), api.AddReceiverRequest{URL: s.receiver.URL}); err != nil {
			s.Fatal(err)
		}
	}
	s.receiver.hangs.Store(round%6 == 2)
	l := s.newLoad(server.URL, round)
	wait := l.run(s.random.IntN(4) > 0)
	time.Sleep(s.upTo(300 * time.Millisecond))
	if s.random.IntN(3) == 0 {
		if err := server.Process.Signal(syscall.SIGHUP); err != nil {
			s.Errorf("the server exited by itself: %v\n%s", server.Wait(), server.Log())
		}
		time.Sleep(s.upTo(3 * time.Millisecond))
	}
	close(l.stopping)
	begun := s.terminate(server.Program)
	for range s.random.IntN(3) {
		time.Sleep(s.upTo(30 * time.Millisecond))
		_ = server.Process.Signal(syscall.SIGTERM) // an error means that it has exited
	}
	s.checkExit(server.Program, begun, true)
	wait()
	s.logins += int(l.logins.Load())
	s.logouts += int(l.logouts.Load())
}

// tokenChain is a session whose token is refreshed again and again.
type tokenChain struct {
	token      string // the last one that a server has answered; "" without a session
	superseded string // the one before it; "" if there is none
	unknown    bool   // whether a refresh of token has no answer
}

// checkChains checks the tokens of all chains. A chain whose last refresh has no answer ends.
func (s *stopped) checkChains(url string) {
	var checks sync.WaitGroup
	for _, c := range s.chains {
		checks.Go(func() {
			if c.superseded != "" && s.isValid(url, c.superseded) {
				s.Error("a superseded token is accepted after a stop")
			}
			if c.token != "" && !c.unknown && !s.isValid(url, c.token) {
				s.Error("an acknowledged refresh or sign-in is lost after a stop")
			}
			if c.unknown {
				*c = tokenChain{}
			}
		})
	}
	checks.Wait()
}

// isValid reports whether the server accepts a bearer token.
func (s *stopped) isValid(url, token string) bool {
	_, err := testbin.Client(s.T, url, client.WithBearer(token)).Session(s.Context())
	if err != nil && !errors.Is(err, client.ErrInvalidSession) {
		s.Error(err)
	}
	return err == nil
}

// checkAudit requires that the audit has every sign-in that a server has answered.
func (s *stopped) checkAudit(url string) {
	c := testbin.Client(s.T, url, client.WithAPIKey(s.created.APIKey))
	for e, err := range c.AllEvents(s.Context(), api.AuditRequest{Kind: api.EventLogin, After: new(s.lastEvent)}) {
		if err != nil {
			s.Error(err)
			return
		}
		s.events++
		s.lastEvent = e.EventID
	}
	if s.events < s.logins {
		s.Errorf("the audit has %d sign-ins, and %d were answered", s.events, s.logins)
	}
}

// TestStopsWithoutStore stops a server whose database no longer responds, with requests in flight; a server whose disk
// does not respond to its start; and a sidecar whose Pawl does not respond. Each must exit with 0 in time.
func TestStopsWithoutStore(t *testing.T) {
	if testing.Short() {
		t.Skip("the server waits 8 seconds for its store")
	}
	t.Parallel()
	binary := testbin.Build(t)
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		stopWithoutDatabase(t, binary)
	})
	t.Run("start", func(t *testing.T) {
		t.Parallel()
		data := t.TempDir()
		testbin.Init(t, binary, nil, "--data", data)
		pipe := filepath.Join(data, "pawl.db-wal")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &stopped{T: t, binary: binary, args: []string{"--data", data}}
		server := s.startWithoutWait(nil)
		await(t, "the server to open the pipe, which no program writes to", func() bool {
			writer, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails without a reader
			if err == nil {
				t.Cleanup(func() { writer.Close() })
			}
			return err == nil
		})
		s.checkExit(server, s.terminate(server), false)
	})
	t.Run("sidecar", func(t *testing.T) {
		t.Parallel()
		stopSidecar(t, binary)
	})
}

// stopSidecar stops a sidecar whose Pawl does not respond to a request.
func stopSidecar(t *testing.T, binary string) {
	asked := make(chan struct{})
	pawl := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/forward-auth" {
			close(asked)
		}
		<-r.Context().Done()
	}))
	defer pawl.Close()
	sidecar := testbin.StartSidecar(t, binary, []string{"PAWL_API_KEY=k"}, "--upstream", pawl.URL)
	w, err := dialWire(sidecar.URL)
	if err == nil {
		defer w.Close()
		_, err = io.WriteString(w, "GET /forward-auth HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\n\r\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	s := &stopped{T: t}
	s.checkExit(sidecar.Program, s.terminate(sidecar.Program), true)
}

func stopWithoutDatabase(t *testing.T, binary string) {
	cluster := pgtest.Start(t)
	database := cluster.Database(t)
	env := []string{"PAWL_STORE=" + cluster.DSN(database), "PAWL_MASTER_KEY=" + seal.NewKey()}
	created := testbin.Init(t, binary, env)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	env[0] = "PAWL_STORE=" + pgtest.DSN(database, proxy.Addr)
	server := testbin.StartServe(t, binary, env, "--password-memory", "8", "--password-passes", "1")
	s := &stopped{T: t}
	proxy.Stall()
	var callers, inFlight sync.WaitGroup
	inFlight.Add(8)
	for range 8 {
		callers.Go(func() {
			isInFlight := sync.OnceFunc(inFlight.Done)
			defer isInFlight()
			header, body, _ := strings.Cut(loginRequest(created), "\r\n\r\n")
			var status int
			w, err := dialWire(server.URL)
			if err == nil {
				defer w.Close()
				status, _, err = w.exchange(header + "\r\nExpect: 100-continue\r\n\r\n")
			}
			if err == nil && status == 100 { // the handler reads the body
				_, err = io.WriteString(w, body)
			}
			if err != nil || status != 100 {
				t.Errorf("%v, status %d before the body", err, status)
				return
			}
			isInFlight()
			if status, _, err := w.receive(); err == nil && status != 503 {
				t.Errorf("status %d without a database, want 503", status)
			}
		})
	}
	inFlight.Wait()
	begun := s.terminate(server.Program)
	s.checkExit(server.Program, begun, true)
	proxy.Pass()
	callers.Wait()
}
