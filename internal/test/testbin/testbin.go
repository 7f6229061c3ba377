// Package testbin runs the real binary for tests that must have a process of
// its own: to signal it, to kill it, and to measure it from outside.
package testbin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Build builds cmd/pawl, with these flags for go build, and returns the
// binary's path.
func Build(t testing.TB, flags ...string) string {
	t.Helper()
	binary, err := BuildIn(t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// BuildIn builds cmd/pawl in a folder and returns the binary's path.
func BuildIn(dir string, flags ...string) (string, error) {
	binary := filepath.Join(dir, "pawl.exe") // the ending is for windows, and does no harm elsewhere
	args := slices.Concat([]string{"build", "-o", binary}, flags, []string{"github.com/pawlauth/pawl/cmd/pawl"})
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// Dev is a "pawl dev" that listens.
type Dev struct {
	*exec.Cmd
	Env map[string]string // what dev.env says
}

// StartDev starts "pawl dev", with these flags too, on a free port and returns
// when it listens. The caller ends the process; at the test's end it is killed
// if it is still there.
func StartDev(t testing.TB, binary, data string, flags ...string) *Dev {
	t.Helper()
	dev, err := RunDev(binary, data, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Kill)
	return dev
}

// RunDev is StartDev outside of a test; the caller kills the process.
func RunDev(binary, data string, flags ...string) (*Dev, error) {
	cmd := exec.Command(binary, append([]string{"dev", "--addr", "127.0.0.1:0", "--data", data}, flags...)...)
	cmd.Env = cleanEnv()
	cmd.Stderr = new(strings.Builder)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	dev := &Dev{Cmd: cmd, Env: map[string]string{}}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "Pawl listens on ") {
		dev.Kill() // after which standard error is whole
		return nil, fmt.Errorf("pawl dev said %q, %v\n%s", line, err, cmd.Stderr)
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

// Kill ends the process, if it is still there, and waits for its end.
func (d *Dev) Kill() {
	_ = d.Process.Kill() // an error says that it has ended
	_ = d.Wait()
}

// Server is a "pawl serve" that listens.
type Server struct {
	*exec.Cmd
	URL     string
	Metrics string // where /metrics is, with --metrics-addr
}

// StartServe starts "pawl serve" on a free port, and no --login-rate, with more arguments and
// variables, and returns when it listens. It is killed at the test's end if it
// is still there.
func StartServe(t testing.TB, binary string, env []string, args ...string) *Server {
	t.Helper()
	server, err := RunServe(binary, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

// RunServe is StartServe outside of a test; the caller kills the process.
func RunServe(binary string, env []string, args ...string) (*Server, error) {
	cmd := exec.Command(binary, append([]string{"serve", "--addr", "127.0.0.1:0", "--login-rate", "0"}, args...)...)
	cmd.Env = append(cleanEnv(), env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	server := &Server{Cmd: cmd}
	lines := bufio.NewScanner(stderr)
	var said strings.Builder
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		var record struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &record) != nil {
			continue
		}
		switch record.Msg {
		case "metrics":
			server.Metrics = "http://" + record.Addr + "/metrics"
		case "listening":
			go io.Copy(io.Discard, stderr) // ends with the process
			server.URL = "http://" + record.Addr
			return server, nil
		}
	}
	server.Kill()
	return nil, fmt.Errorf("pawl serve ended:\n%s", said.String())
}

// Kill ends the process, if it is still there, and waits for its end.
func (s *Server) Kill() {
	_ = s.Process.Kill() // an error says that it has ended
	_ = s.Wait()
}

// cleanEnv is the environment without settings of Pawl's.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PAWL_") })
}
