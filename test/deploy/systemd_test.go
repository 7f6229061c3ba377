//go:build linux

package deploy_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

const (
	unitFile = top + "/deploy/systemd/pawl.service"
	// maxExposure is the largest acceptable exposure level of systemd-analyze, in tenths. Below 20 it is "OK". The rest
	// comes from the network, which a server needs.
	maxExposure = "13"
)

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is missing; run \"make deps\"", program)
	}
}

// TestUnit checks the unit with systemd-analyze, with and without its drop-in.
func TestUnit(t *testing.T) {
	need(t, "systemd-analyze")
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	if start, _, _ := strings.Cut(string(text), "[Service]"); !strings.Contains(start, "\nStartLimitIntervalSec=0\n") {
		t.Error("systemd stops restarting the unit after five starts within 10 seconds")
	}
	for _, line := range []string{"Type=notify", "Restart=always", "ExecReload=/bin/kill -HUP $MAINPID"} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	dir := t.TempDir()
	unit, dropIn := filepath.Join(dir, "pawl.service"), filepath.Join(dir, "pawl.service.d")
	binary := testbin.Build(t)
	write(t, unit, strings.Replace(string(text), "/usr/bin/pawl", binary, 1))
	analyze(t, "verify", "--man=no", unit)
	analyze(t, "security", "--offline=true", "--threshold="+maxExposure, unit)
	secrets, err := os.ReadFile(top + "/deploy/systemd/secrets.conf")
	if err != nil || os.Mkdir(dropIn, 0o755) != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dropIn, "secrets.conf"), string(secrets))
	analyze(t, "verify", "--man=no", unit)
}

// analyze runs systemd-analyze, which must not complain about the unit. Its exit code is not enough, because verify
// also exits with 0 if it ignores a line.
func analyze(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("systemd-analyze", args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || strings.Contains(errs.String(), "pawl.service") {
		t.Errorf("systemd-analyze %v: %v\n%s%s", args, err, out, errs.String())
	}
}

// TestUnitSystemCalls runs a server under strace, which rejects the same system calls as the unit's SystemCallFilter.
// It also checks that the server maps no memory as both writable and executable, which MemoryDenyWriteExecute forbids.
func TestUnitSystemCalls(t *testing.T) {
	need(t, "systemd-analyze")
	need(t, "strace")
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	trace := filepath.Join(t.TempDir(), "trace")
	out, err := exec.Command(binary, "init", "--login", login, "--data", data, "--json").Output()
	var created struct{ Password string }
	if err != nil || json.Unmarshal(out, &created) != nil {
		t.Fatalf("init: %v %s", err, stderrOf(err))
	}
	refuse := "--inject=!?" + strings.Join(allowedCalls(t), ",?") + ":error=EPERM"
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	command := exec.Command("strace", "-D", "-f", "-qq", "-o", trace, "--trace=all", refuse,
		binary, "serve", "--data", data, "--addr", "127.0.0.1:0")
	command.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
	server := start(t, command)
	signInAndRefresh(t, server.URL, created.Password)
	drain(t, server)
	if err := notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	state := make([]byte, 64)
	if n, err := notify.Read(state); err != nil || string(state[:n]) != "READY=1" {
		t.Errorf("the server reported %q to systemd, want READY=1; %v", state[:n], err)
	}
	text, err := os.ReadFile(trace)
	if err != nil || !strings.Contains(string(text), "execve(") {
		t.Fatalf("strace recorded no system calls: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		_, mapped, _ := strings.Cut(line, "mmap(")
		if strings.Contains(line, "mprotect(") && strings.Contains(line, "PROT_EXEC") ||
			strings.Contains(mapped, "PROT_WRITE|PROT_EXEC") {
			t.Errorf("MemoryDenyWriteExecute would reject: %s", line)
		}
	}
}

// allowedCalls returns the system calls that the unit's filter allows: those of the first line without those of the
// second.
func allowedCalls(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for line := range strings.Lines(string(text)) {
		sets, ok := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !ok {
			continue
		}
		names, denied := strings.CutPrefix(sets, "~")
		for _, set := range strings.Fields(names) {
			calls := expand(t, set)
			if denied {
				allowed = slices.DeleteFunc(allowed, func(call string) bool { return slices.Contains(calls, call) })
			} else {
				allowed = append(allowed, calls...)
			}
		}
	}
	if !slices.Contains(allowed, "execve") || slices.Contains(allowed, "reboot") {
		t.Fatalf("the test misreads the filter: %v", allowed)
	}
	return allowed
}

// expand returns the calls of one of systemd's sets, including those of nested sets.
func expand(t *testing.T, set string) (calls []string) {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "syscall-filter", set).Output()
	if err != nil {
		t.Fatalf("%s: %v %s", set, err, stderrOf(err))
	}
	for line := range strings.Lines(string(out)) {
		switch word := strings.TrimSpace(line); {
		case !strings.HasPrefix(line, " ") || word == "" || strings.HasPrefix(word, "#"):
		case strings.HasPrefix(word, "@"):
			calls = append(calls, expand(t, word)...)
		default:
			calls = append(calls, word)
		}
	}
	return calls
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
