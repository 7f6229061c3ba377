//go:build linux

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// terminal is a terminal with a command on it. output has everything that the terminal shows, the echo of input
// included.
type terminal struct {
	*testing.T
	*exec.Cmd
	controller, side *os.File
	before           term.State // of the terminal, before the command has started

	mu    sync.Mutex
	shown bytes.Buffer
}

// onTerminal starts a command whose standard streams are a terminal.
func onTerminal(t *testing.T, env []string, command ...string) *terminal {
	t.Helper()
	controller, side, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	before, err := term.GetState(int(side.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{
		T: t, Cmd: exec.Command(command[0], command[1:]...), controller: controller, side: side, before: *before,
	}
	x.Env = append(os.Environ(), env...)
	x.Stdin = side
	x.Stdout = side
	x.Stderr = side
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		buffer := make([]byte, 4096)
		for {
			n, err := controller.Read(buffer)
			if err != nil {
				return
			}
			x.mu.Lock()
			x.shown.Write(buffer[:n])
			x.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = x.Process.Kill() // fails if the process has ended
		_ = x.Cmd.Wait()
		side.Close()
		<-copied
		controller.Close()
	})
	return x
}

// output returns what the terminal shows.
func (x *terminal) output() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

// await waits until the terminal shows a text.
func (x *terminal) await(text string) {
	x.Helper()
	await(x.T, fmt.Sprintf("%q", text), func() bool { return strings.Contains(x.output(), text) })
}

// awaitPrompt waits until the command has asked for the password, and the terminal has ceased to echo.
func (x *terminal) awaitPrompt() {
	x.Helper()
	x.await("Password: ")
	await(x.T, "the end of the echo", func() bool {
		state, err := term.GetState(int(x.side.Fd()))
		return err == nil && *state != x.before
	})
}

// enter types a line.
func (x *terminal) enter(line string) {
	x.Helper()
	if _, err := x.controller.WriteString(line + "\n"); err != nil {
		x.Fatal(err)
	}
}

// TestPrompt signs in on a terminal. The terminal does not show the password, and echoes again after an interrupt.
func TestPrompt(t *testing.T) {
	binary := testbin.Build(t)
	dev := testbin.StartDev(t, binary, filepath.Join(t.TempDir(), "data"))
	env := []string{"PAWL_URL=" + dev.Env["PAWL_URL"]}
	x := onTerminal(t, env, binary, "login", dev.Env["PAWL_LOGIN"])
	x.awaitPrompt()
	x.enter(dev.Env["PAWL_PASSWORD"])
	if err := x.Wait(); err != nil {
		t.Errorf("pawl login: %v", err)
	}
	x.await("eyJ")
	if strings.Contains(x.output(), dev.Env["PAWL_PASSWORD"]) {
		t.Errorf("the terminal shows the password:\n%s", x.output())
	}

	x = onTerminal(t, env, binary, "login", dev.Env["PAWL_LOGIN"])
	x.awaitPrompt()
	if err := x.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if failed, ok := errors.AsType[*exec.ExitError](x.Wait()); !ok || failed.ExitCode() != 1 {
		t.Errorf("the interrupted command returned %v, want exit code 1", failed)
	}
	if state, err := term.GetState(int(x.side.Fd())); err != nil || *state != x.before {
		t.Errorf("the terminal does not echo after the interrupt; %v", err)
	}
}

// TestProgressOnTerminal imports users on a terminal, which shows a bar.
func TestProgressOnTerminal(t *testing.T) {
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	testbin.Init(t, binary, nil, "--data", data)
	users := filepath.Join(t.TempDir(), "users.jsonl")
	const hash = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG"
	const line = `{"login":"a@example.com","passwordHash":"` + hash + `"}`
	if err := os.WriteFile(users, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	x := onTerminal(t, nil, binary, "user", "import", users, "--data", data)
	if err := x.Wait(); err != nil {
		t.Error(err)
	}
	x.await("Imported 1, unchanged 0, skipped 0.")
	if !regexp.MustCompile(`\[#{40}\] 100% 1 lines`).MatchString(x.output()) {
		t.Errorf("there is no bar:\n%s", x.output())
	}
}

// TestDevGreeting runs pawl dev with a collector of traces. The greeting comes first and in one piece, and has the
// address of /docs. dev.env is enough for the commands, and the collector receives traces.
func TestDevGreeting(t *testing.T) {
	traces := make(chan string, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		traces <- r.URL.Path
	}))
	defer collector.Close()
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "NO_COLOR=1"}
	x := onTerminal(t, env, binary, "dev", "--addr", "127.0.0.1:0", "--data", data)
	x.await("continues with the same state.")
	output := x.output()
	want := `^Pawl listens on http://127.0.0.1:\d+\r\n(.*\r\n)*.*http://127.0.0.1:\d+/docs\r\n(.*\r\n)*Ctrl-C stops .*`
	if !regexp.MustCompile(want).MatchString(output) || strings.Contains(output, "INFO") {
		t.Errorf("the greeting is\n%s", output)
	}
	list := exec.Command("sh", "-c", `set -a; . "$1"; "$0" user list`, binary, filepath.Join(data, "dev.env"))
	if out, err := list.CombinedOutput(); err != nil || !strings.Contains(string(out), "jsmith@example.com") {
		t.Errorf("pawl user list with dev.env: %v\n%s", err, out)
	}
	if err := x.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := x.Wait(); err != nil {
		t.Errorf("pawl dev: %v", err)
	}
	x.await("INFO  stopped")
	select {
	case path := <-traces:
		if path != "/v1/traces" {
			t.Errorf("the collector got %s", path)
		}
	default: // the command has ended, so there will be none
		t.Error("the collector got no traces")
	}
}
