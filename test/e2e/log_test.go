//go:build linux

package e2e_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// loggedServer is a "pawl serve" with one user. The test owns the reading end of the pipe that is its standard error.
type loggedServer struct {
	*testing.T
	*exec.Cmd
	url, metrics, password string
	log                    *os.File
}

// impatient is a client that does not wait forever for a server that hangs.
var impatient = &http.Client{Timeout: 30 * time.Second}

// startLogged starts the server with more arguments and variables, and returns when it is ready. Nothing reads the
// pipe, so its first 64 KiB are buffered.
func startLogged(t *testing.T, env []string, args ...string) *loggedServer {
	t.Helper()
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	out, err := exec.Command(binary, "init", "--login", admin, "--data", data, "--json").Output()
	var created struct{ Password string }
	if err != nil || json.Unmarshal(out, &created) != nil {
		t.Fatalf("pawl init: %v", err)
	}
	log, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	addr, metrics := testbin.FreeAddr(t), testbin.FreeAddr(t)
	s := &loggedServer{T: t, url: "http://" + addr, metrics: metrics, password: created.Password, log: log}
	args = append([]string{"serve", "--data", data, "--addr", addr, "--metrics-addr", metrics, "--login-rate", "0",
		"--password-memory", "8", "--password-passes", "1"}, args...)
	s.Cmd = exec.Command(binary, args...)
	s.Env = append(os.Environ(), env...)
	s.Stderr = stderr
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.Close() // the server has the only writing end
	t.Cleanup(func() {
		_ = s.Process.Kill() // fails if the process has ended
		_ = s.Wait()
		log.Close()
	})
	await(t, "the server", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return s
}

// signal sends a signal to the server.
func (s *loggedServer) signal(signal syscall.Signal) {
	s.Helper()
	if err := s.Process.Signal(signal); err != nil {
		s.Fatal(err)
	}
}

// shutDown ends the server with SIGTERM, and requires exit code 0.
func (s *loggedServer) shutDown() {
	s.Helper()
	s.signal(syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		rest, _ := io.ReadAll(s.log) // at most what the pipe holds
		s.Errorf("after SIGTERM: %v; the rest of its log:\n%s", err, rest)
	}
}

// signInAndRefresh requires that a sign-in, five refreshes and a sign-out succeed at the first attempt.
func (s *loggedServer) signInAndRefresh() {
	s.Helper()
	c := testbin.Client(s.T, s.url, client.WithRetries(0))
	token, err := c.Login(s.Context(), admin, s.password)
	for range 5 {
		if err == nil {
			token, err = c.Refresh(s.Context(), token.Token)
		}
	}
	if err == nil {
		err = c.With(client.WithBearer(token.Token)).Logout(s.Context())
	}
	if err != nil {
		s.Errorf("a sign-in and its refreshes: %v", err)
	}
}

var lostLines = regexp.MustCompile(`(?m)^pawl_log_lines_lost_total (\S+)$`)

// lost returns pawl_log_lines_lost_total.
func (s *loggedServer) lost() int64 {
	s.Helper()
	response, err := impatient.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	found := lostLines.FindSubmatch(text)
	if err != nil || found == nil {
		s.Fatalf("the scrape has no pawl_log_lines_lost_total; %v", err)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		s.Fatal(err)
	}
	return int64(n)
}

// flood sends refreshes with a forged token, which the server logs, until enough returns true. It needs no
// credentials.
func (s *loggedServer) flood(enough func() bool) {
	s.Helper()
	const body = `{"token":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	var stop atomic.Bool
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for !stop.Load() && !s.Failed() {
				response, err := impatient.Post(s.url+"/v2/auth/refresh", "application/json", strings.NewReader(body))
				if err != nil {
					s.Errorf("a forged refresh: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != http.StatusUnauthorized {
					s.Errorf("a forged refresh returned %s, want 401", response.Status)
				}
			}
		})
	}
	defer group.Wait()
	defer stop.Store(true)
	await(s.T, "the flood", enough)
}

// TestLogReaderStops fills the log with forged refreshes while nothing reads it. The server continues to serve, and
// counts the lines that it drops. When the log is read again, the log reports how many there are.
func TestLogReaderStops(t *testing.T) {
	s := startLogged(t, nil)
	s.flood(func() bool { return s.lost() > 0 })
	s.signInAndRefresh()
	if t.Failed() {
		return
	}

	var reported, lines atomic.Int64
	ended := make(chan struct{})
	var paused sync.Mutex // stops the reader while the test holds it
	go func() {
		defer close(ended)
		for scanner := bufio.NewScanner(s.log); scanner.Scan(); {
			var line struct {
				Msg   string
				Lines int64
			}
			if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
				t.Errorf("the log has the line %q: %v", scanner.Text(), err)
			}
			paused.Lock()
			lines.Add(1)
			if line.Msg == "log lines lost" {
				reported.Add(line.Lines)
			}
			paused.Unlock()
		}
	}()
	s.signInAndRefresh() // logs a line, after which the report comes at the latest
	await(t, "the report of all lost lines", func() bool { return reported.Load() == s.lost() })
	if lines.Load() < 1000 {
		t.Errorf("the log has %d lines, want those that the queue kept", lines.Load())
	}
	before := s.lost()
	s.flood(func() bool { return lines.Load() > 2000 })
	await(t, "the report of later lost lines", func() bool { return reported.Load() == s.lost() })
	t.Logf("%d lines were lost while nothing read the log, and %d later", before, s.lost()-before)

	paused.Lock()
	before = s.lost()
	s.flood(func() bool { return s.lost() > before })
	s.shutDown() // in spite of the lines that nothing reads
	paused.Unlock()
	<-ended
}

// TestLogReaderGoesAway closes the log. The server ignores SIGPIPE, counts the lines that it cannot write, and
// continues to serve.
func TestLogReaderGoesAway(t *testing.T) {
	s := startLogged(t, nil)
	s.log.Close()
	s.signInAndRefresh() // logs lines, to which the kernel answers with SIGPIPE
	await(t, "the count of lost lines", func() bool { return s.lost() > 0 })
	s.signInAndRefresh()
	s.shutDown()
}

// TestLogIsFlushed checks that the log has the last lines of a server that ends.
func TestLogIsFlushed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.log")
	s := startLogged(t, nil, "--log-file", path)
	s.signInAndRefresh()
	s.shutDown()
	if log := readFile(t, path); !strings.Contains(log, `"kind":"logout"`) {
		t.Errorf("the log has no logout:\n%s", log)
	}
	if lines := accessLines(t, path); len(lines) > 0 {
		t.Errorf("without --access-log the log has %+v", lines)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
