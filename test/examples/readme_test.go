//go:build unix

package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// fresh matches the parts of a response that differ from one exchange to the next.
var fresh = regexp.MustCompile(`"token":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9[^"]*"|"expiresAt":"[^"]*"`)

// TestREADME runs the exchange of the README, with its last command twice, and compares the output with the README.
func TestREADME(t *testing.T) {
	need(t, "bash", "curl", "jq")
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, exchange, found := strings.Cut(string(text), "## The exchange\n")
	exchange, _, ended := strings.Cut(exchange, "\n## ")
	if !found || !ended {
		t.Fatal("the README has no section \"The exchange\"")
	}
	var commands, want string
	for line := range strings.Lines(exchange) {
		if code, ok := strings.CutPrefix(line, "    "); ok && strings.HasPrefix(code, "{") {
			want += code
		} else if ok {
			commands += code
		}
	}
	data := t.TempDir()
	testbin.StartDev(t, testbin.Build(t), data)
	commands = strings.ReplaceAll(commands, "./pawl-dev", data)
	commands += commands[strings.LastIndex(commands, "curl "):]
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	shell.Stderr = t.Output()
	got, err := shell.Output()
	printed := strings.ReplaceAll(string(got), "\n", "")
	want = strings.ReplaceAll(want, "\n", "")
	if err != nil || fresh.ReplaceAllString(printed, "") != fresh.ReplaceAllString(want, "") {
		t.Errorf("%v\nprinted:\n%s\nthe README has:\n%s", err, got, want)
	}
	if n := len(fresh.FindAllString(printed, -1)); n != 2 {
		t.Errorf("printed %d tokens and expiries, want one of each", n)
	}
}
