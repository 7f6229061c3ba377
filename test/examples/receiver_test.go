//go:build unix

package examples_test

import (
	"bufio"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestReceiver runs the commands of the README of the receiver. Then it stops the receiver, ends a session, kills Pawl,
// and starts both again: the receiver gets the end of this session too.
func TestReceiver(t *testing.T) {
	need(t, "bash", "curl", "jq")
	binary := testbin.Build(t)
	receiver := filepath.Join(t.TempDir(), "receiver")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", receiver, "./"+root+"/examples/go/receiver").
		CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data := t.TempDir()
	dev := testbin.StartDev(t, binary, data, "--algorithm", "ES256")
	address := testbin.FreeAddr(t)
	printed, stop := startReceiver(t, receiver, address, dev.Env["PAWL_URL"])
	blocks := codeBlocks(t, filepath.Join(root, "examples/go/receiver/README.md"))
	runBlocks(t, strings.NewReplacer("127.0.0.1:9000", address, "./pawl-dev", data, "go run ./cmd/pawl", binary),
		blocks[1:])
	wantLine(t, printed, "a test")
	wantLine(t, printed, "the session ")
	stop()

	admin := testbin.Client(t, dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["PAWL_API_KEY"]))
	users, err := admin.UsersByName(t.Context(), dev.Env["PAWL_LOGIN"])
	if err == nil {
		err = admin.ResetUser(t.Context(), users[0].UserID)
	}
	if err != nil {
		t.Fatal(err)
	}
	dev.Kill()
	dev = testbin.StartDev(t, binary, data, "--algorithm", "ES256")
	printed, stop = startReceiver(t, receiver, address, dev.Env["PAWL_URL"])
	defer stop()
	wantLine(t, printed, "all sessions of user 4821 have ended")
	admin = testbin.Client(t, dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["PAWL_API_KEY"]))
	for deadline := time.Now().Add(exampleLimit); ; time.Sleep(20 * time.Millisecond) {
		receivers, err := admin.Receivers(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("receivers %+v, %v", receivers, err)
		}
		isDone := func(r api.Receiver) bool { return r.Delivered == 2 && r.Failures == 0 }
		if len(receivers) == 1 && isDone(receivers[0]) {
			return
		}
	}
}

// startReceiver starts the receiver, and returns what it prints once it listens.
func startReceiver(t *testing.T, binary, address, pawl string) (*bufio.Scanner, func()) {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = []string{"PAWL_URL=" + pawl, "API_ADDR=" + address}
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = cmd.Process.Kill() // an error means that it has exited
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	for deadline := time.Now().Add(exampleLimit); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return bufio.NewScanner(stdout), stop
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// wantLine reads the next line, and checks how it begins.
func wantLine(t *testing.T, printed *bufio.Scanner, prefix string) {
	t.Helper()
	if !printed.Scan() || !strings.HasPrefix(printed.Text(), prefix) {
		t.Fatalf("the receiver printed %q, want %q", printed.Text(), prefix)
	}
}
