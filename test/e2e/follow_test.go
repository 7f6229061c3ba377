//go:build linux

package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// follower is a running "pawl audit --follow".
type follower struct {
	*testing.T
	*exec.Cmd
	events, errors *bufio.Scanner
	last           int64 // the id of the last event
}

func follow(t *testing.T, binary, url, apiKey string) *follower {
	t.Helper()
	f := &follower{T: t, Cmd: exec.Command(binary, "audit", "--follow", "--json", "--after", "0", "--url", url)}
	f.Env = append(os.Environ(), "PAWL_API_KEY="+apiKey)
	stdout, outErr := f.StdoutPipe()
	stderr, errErr := f.StderrPipe()
	if err := errors.Join(outErr, errErr, f.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Process.Kill() }) // fails if it has ended
	f.events, f.errors = bufio.NewScanner(stdout), bufio.NewScanner(stderr)
	return f
}

// await reads the events until one of a kind. Their ids must go up.
func (f *follower) await(kind api.EventKind) {
	f.Helper()
	for f.events.Scan() {
		var e api.Event
		if err := json.Unmarshal(f.events.Bytes(), &e); err != nil || e.EventID <= f.last {
			f.Fatalf("%s after event %d: %v", f.events.Text(), f.last, err)
		}
		f.last = e.EventID
		if e.Kind == kind {
			return
		}
	}
	f.Fatalf("the command ended before the event %s", kind)
}

// awaitError reads a line of the standard error.
func (f *follower) awaitError(want string) {
	f.Helper()
	if !f.errors.Scan() || !strings.Contains(f.errors.Text(), want) {
		f.Fatalf("the command reports %q, want %q", f.errors.Text(), want)
	}
}

// TestFollowAudit follows the audit while the server is killed and started again. Each event must be printed once, in
// the order of the ids. Once the API key is rejected, the command ends.
func TestFollowAudit(t *testing.T) {
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	created := testbin.Init(t, binary, nil, "--data", data)
	addr := testbin.FreeAddr(t)
	start := func() *testbin.Server {
		return testbin.StartServe(t, binary, nil, "--data", data, "--addr", addr, "--password-memory", "8",
			"--password-passes", "1")
	}
	server := start()
	f := follow(t, binary, server.URL, created.APIKey)
	f.await(api.EventStarted)
	var token string
	for range 2 {
		issued, err := testbin.Client(t, server.URL).Login(t.Context(), testbin.Admin, created.Password)
		if err != nil {
			t.Fatal(err)
		}
		token = issued.Token
		f.await(api.EventLogin)
		server.Kill()
		f.awaitError("trying again")
		server = start()
		f.await(api.EventStarted)
	}
	admin := testbin.Client(t, server.URL, client.WithBearer(token))
	me, err := admin.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.GenerateAPIKey(t.Context(), me.UserID); err != nil { // revokes the key of the command
		t.Fatal(err)
	}
	f.awaitError("is not valid")
	if err := f.Wait(); err == nil {
		t.Error("with a revoked API key, the command exits with 0")
	}
}
