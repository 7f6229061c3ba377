// Package testbin builds and runs the real pawl binary, for tests that need it as a process of its own: to signal it,
// to kill it, or to measure it from outside.
package testbin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Build builds cmd/pawl with these flags for go build, and returns the binary's path.
func Build(t testing.TB, flags ...string) string {
	t.Helper()
	build := buildShared
	if build == nil || len(flags) > 0 {
		build = func() (string, error) { return BuildIn(t.TempDir(), flags...) }
	}
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// buildShared builds the binary of all tests of a package at its first call. It is nil without Main.
var buildShared func() (binary string, err error)

// Main runs the tests of a package, and exits. It is for TestMain. Build without flags then builds only once, because
// linking takes seconds.
func Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "pawl-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildShared = sync.OnceValues(func() (string, error) { return BuildIn(dir) })
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// BuildIn builds cmd/pawl into a folder and returns the binary's path.
func BuildIn(dir string, flags ...string) (string, error) {
	binary := filepath.Join(dir, "pawl.exe") // Windows needs the suffix, other systems ignore it
	args := slices.Concat([]string{"build", "-o", binary}, flags, []string{"github.com/pawlauth/pawl/cmd/pawl"})
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// Dev is a running "pawl dev".
type Dev struct {
	*Program
	Env  map[string]string // the variables of dev.env
	Link string            // signs in to the console, once; "" without a console
}

// StartDev starts "pawl dev" with these additional flags on a free port, and returns when it listens. The process is
// killed at the end of the test if it is still running. A failed test logs its standard error.
func StartDev(t testing.TB, binary, data string, flags ...string) *Dev {
	t.Helper()
	dev, err := RunDev(binary, data, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.End(t) })
	return dev
}

// RunDev is StartDev for programs. The caller must kill the process.
func RunDev(binary, data string, flags ...string) (*Dev, error) {
	cmd := exec.Command(binary, append([]string{"dev", "--addr", "127.0.0.1:0", "--data", data}, flags...)...)
	cmd.Env = cleanEnv()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started, err := StartProgram(cmd)
	if err != nil {
		return nil, err
	}
	dev := &Dev{Program: started, Env: map[string]string{}}
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "Pawl listens on ") {
		dev.Kill() // completes the output
		return nil, fmt.Errorf("pawl dev printed %q, %v\n%s", line, err, dev.Log())
	}
	for err == nil && !strings.HasPrefix(line, "Users, ") {
		if line, err = out.ReadString('\n'); strings.Contains(line, "/enter?code=") {
			dev.Link = strings.TrimSpace(line)
		}
	}
	text, err := os.ReadFile(filepath.Join(data, "dev.env"))
	if err != nil {
		dev.Kill()
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			dev.Env[name] = strings.Trim(value, "'")
		}
	}
	return dev, nil
}

// Admin is the login of the administrator that Init creates.
const Admin = "admin@example.com"

// Created is the output of "pawl init --json".
type Created struct{ Login, Password, APIKey string }

// Init creates a store with an administrator by "pawl init", with these additional variables and arguments.
func Init(t testing.TB, binary string, env []string, args ...string) Created {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"init", "--login", Admin, "--json"}, args...)...)
	cmd.Env = append(cleanEnv(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var created Created
	if err == nil {
		err = json.Unmarshal(out, &created)
	}
	if err != nil {
		t.Fatalf("pawl init: %v\n%s", err, stderr.String())
	}
	return created
}

// Server is a running "pawl serve" or "pawl sidecar".
type Server struct {
	*Program
	URL     string
	Metrics string // the URL of /metrics; set if the server runs with --metrics-addr
}

// StartServe starts "pawl serve" on a free port without a login rate, with these additional variables and arguments. It
// returns when the server listens. The process is killed at the end of the test if it is still running. A failed test
// logs what the server has logged.
func StartServe(t testing.TB, binary string, env []string, args ...string) *Server {
	t.Helper()
	server, err := RunServe(binary, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.End(t) })
	return server
}

// RunServe is StartServe for programs. The caller must kill the process.
func RunServe(binary string, env []string, args ...string) (*Server, error) {
	return runServer(binary, env, append([]string{"serve", "--addr", "127.0.0.1:0", "--login-rate", "0"}, args...))
}

// StartSidecar starts "pawl sidecar" on a free port, with these additional variables and arguments. It returns when the
// sidecar listens. The process is killed at the end of the test if it is still running. A failed test logs what the
// sidecar has logged.
func StartSidecar(t testing.TB, binary string, env []string, args ...string) *Server {
	t.Helper()
	sidecar, err := runServer(binary, env, append([]string{"sidecar", "--listen", "127.0.0.1:0"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sidecar.End(t) })
	return sidecar
}

// runServer runs a command, and returns when its log has the address that it listens on.
func runServer(binary string, env, args []string) (*Server, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(cleanEnv(), env...)
	return RunCommand(cmd)
}

// RunCommand runs a command that is a server, and returns when its log on standard error has the address that it
// listens on. The caller must kill the process.
func RunCommand(cmd *exec.Cmd) (*Server, error) {
	server := new(Server)
	listening := make(chan struct{})
	lines := &lineWriter{read: func(line []byte) (more bool) {
		var record struct{ Msg, Addr string }
		if json.Unmarshal(line, &record) != nil {
			return true
		}
		switch record.Msg {
		case "metrics":
			server.Metrics = "http://" + record.Addr + "/metrics"
		case "listening":
			server.URL = "http://" + record.Addr
			close(listening)
			return false
		}
		return true
	}}
	cmd.Stderr = lines
	var err error
	if server.Program, err = StartProgram(cmd); err != nil {
		return nil, err
	}
	select {
	case <-listening:
		return server, nil
	case <-server.exited:
		return nil, fmt.Errorf("%v exited:\n%s", cmd.Args, server.Log())
	}
}

// cleanEnv returns the environment without Pawl's settings.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PAWL_") })
}
