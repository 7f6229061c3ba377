//go:build unix

package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestAdopt runs the commands of docs/adopt.md. After the block that starts Pawl, the blocks come in pairs: commands,
// and their expected output.
func TestAdopt(t *testing.T) {
	need(t, "bash", "curl", "jq")
	binary := testbin.Build(t)
	data := t.TempDir()
	testbin.StartDev(t, binary, data)
	bin := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(bin, "pawl")); err != nil {
		t.Fatal(err)
	}
	var commands, want string
	for i, block := range codeBlocks(t, filepath.Join(root, "docs/adopt.md"))[1:] {
		if i%2 == 0 {
			commands += strings.ReplaceAll(block, "./pawl-dev", data)
		} else {
			want += block
		}
	}
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	shell.Dir = root
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	shell.Stderr = t.Output()
	got, err := shell.Output()
	if err != nil || string(got) != want {
		t.Errorf("%v\nprinted:\n%s\ndocs/adopt.md has:\n%s", err, got, want)
	}
}
