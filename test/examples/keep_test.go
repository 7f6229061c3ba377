//go:build unix

package examples_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestKeepSession runs the examples that keep a session, with a token life of 8 seconds. The network loses every third
// answer, the server is at capacity at times, and the local clock is two hours off. No call may fail.
func TestKeepSession(t *testing.T) {
	folder, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	binary := testbin.Build(t)
	run := func(t *testing.T, program ...string) {
		t.Parallel()
		dev := testbin.StartDev(t, binary, t.TempDir(), "--token-life", "8s")
		network := newLossyNetwork(t, dev.Env["PAWL_URL"])
		dev.Env["PAWL_URL"] = network.URL
		got := runWith(t, dev.Env, append(program, "10")...)
		want := "three refreshes at once: one session\n10 seconds: every call succeeded\nafter the sign-out: 401\n"
		if got != want {
			t.Errorf("printed:\n%s\nwant:\n%s", got, want)
		}
		network.mu.Lock()
		defer network.mu.Unlock()
		if network.lost < 5 || network.busy < 2 || network.refreshes < 3 {
			t.Errorf("%d lost answers, %d times at capacity, %d refreshes: too few", network.lost, network.busy,
				network.refreshes)
		}
	}
	t.Run("node", func(t *testing.T) {
		need(t, "node")
		const slow = "data:text/javascript,const now=Date.now;Date.now=()=>now()-7200000"
		run(t, "node", "--import", slow, filepath.Join(folder, "node/keep-session.mjs"))
	})
	t.Run("python", func(t *testing.T) {
		const fast = "import runpy, sys, time; now = time.time; time.time = lambda: now() + 7200; " +
			"sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
		run(t, pythonWithRequests(t), "-c", fast, filepath.Join(folder, "python/keep_session.py"))
	})
}

// TestSessionKey runs the examples that sign in with an API key. Each must open one session, and one more after the
// first has ended.
func TestSessionKey(t *testing.T) {
	folder, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	binary := testbin.Build(t)
	run := func(t *testing.T, program ...string) {
		dev := testbin.StartDev(t, binary, t.TempDir())
		want := "signed in as user 4821\nafter the end of the session: signed in again\n"
		if got := runWith(t, dev.Env, program...); got != want {
			t.Errorf("printed:\n%s\nwant:\n%s", got, want)
		}
		admin := testbin.Client(t, dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["PAWL_ADMIN_API_KEY"]))
		events, err := admin.Audit(t.Context(), api.AuditRequest{Kind: api.EventLogin})
		if err != nil || len(events) != 2 {
			t.Errorf("%d sessions were opened, want 2; %v", len(events), err)
		}
	}
	t.Run("node", func(t *testing.T) {
		need(t, "node")
		run(t, "node", filepath.Join(folder, "node/session-key.mjs"))
	})
	t.Run("python", func(t *testing.T) {
		run(t, pythonWithRequests(t), filepath.Join(folder, "python/session_key.py"))
	})
}

// runWith runs a program with these variables, and returns its output. The program must succeed.
func runWith(t *testing.T, env map[string]string, program ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	var text strings.Builder
	for name, value := range env {
		fmt.Fprintf(&text, "%s='%s'\n", name, value)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), exampleLimit)
	defer cancel()
	command := withEnv(ctx, file, program...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v\nstdout:\n%s\nstderr:\n%s", program, err, stdout, stderr.Bytes())
	}
	return string(stdout)
}

// lossyNetwork is a proxy that loses every third answer to a refresh or a session call, and answers every seventh of
// these requests itself as a server at capacity. It never loses two answers in a row.
type lossyNetwork struct {
	*httptest.Server
	mu                    sync.Mutex // guards the counters
	requests              int
	lost, busy, refreshes int
}

func newLossyNetwork(t *testing.T, server string) *lossyNetwork {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	network := &lossyNetwork{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	network.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch network.fate(r.URL.Path) {
		case "busy":
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"success":false,"data":null,"errorCode":"Unavailable","message":"Retry after 1 s."}`)
		case "lost":
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // closes the connection without an answer
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(network.Close)
	return network
}

// fate counts a request, and returns what happens to it.
func (n *lossyNetwork) fate(path string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch path {
	case "/v2/auth/refresh":
		n.refreshes++
	case "/v2/auth/session":
	default:
		return ""
	}
	n.requests++
	switch {
	case n.requests%7 == 0:
		n.busy++
		return "busy"
	case n.requests%3 == 0:
		n.lost++
		return "lost"
	}
	return ""
}
