// Package testbin runs the real binary for tests that must have a process of
// its own: to signal it, to kill it, and to measure it from outside.
package testbin

import (
	"bufio"
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
	binary := filepath.Join(t.TempDir(), "pawl.exe") // the ending is for windows, and does no harm elsewhere
	args := slices.Concat([]string{"build", "-o", binary}, flags, []string{"github.com/pawlauth/pawl/cmd/pawl"})
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
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
	cmd := exec.Command(binary, append([]string{"dev", "--addr", "127.0.0.1:0", "--data", data}, flags...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PAWL_") })
	cmd.Stderr = new(strings.Builder)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error says that it has ended
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "Pawl listens on ") {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // after which standard error is whole
		t.Fatalf("pawl dev said %q, %v\n%s", line, err, cmd.Stderr)
	}
	text, err := os.ReadFile(filepath.Join(data, "dev.env"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[name] = strings.Trim(value, "'")
		}
	}
	return &Dev{cmd, env}
}
