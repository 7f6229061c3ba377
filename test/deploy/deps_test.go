//go:build linux

package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeps runs install-test-deps on a machine of stand-ins that has none of
// the tools: what has no package, or what nobody may install, is named, and
// is no error.
func TestDeps(t *testing.T) {
	script, err := filepath.Abs(top + "/scripts/install-test-deps")
	if _, statErr := os.Stat(script); err != nil || statErr != nil { // so that go test sees when it changes
		t.Fatal(err, statErr)
	}
	for name, c := range map[string]struct {
		fakes        map[string]string
		says, asks   string
		neverInstall string
	}{
		"no package": {map[string]string{"id": "echo 0", "apt-cache": `[ "$2" = fish ] && echo "Candidate: (none)" || echo "Candidate: 1.0"`, "apt-get": `echo "$@" >> "$ASKED"`},
			"this system has no package; tests are skipped, or fail, without: fish\n", " zsh prometheus", "fish"},
		"no network": {map[string]string{"id": "echo 0", "apt-cache": "exit 0", "apt-get": `echo "$@" >> "$ASKED"; exit 100`}, "apt-get update fails", "update", "install"},
		"no root":    {map[string]string{"id": "echo 1000", "apt-get": `echo "$@" >> "$ASKED"`}, "this needs root: run as root, apt-get install --no-install-recommends curl jq ", "", "install"},
		"no apt-get": {map[string]string{"id": "echo 0"}, "there is no apt-get; install them by hand", "", "install"},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			asked := filepath.Join(bin, "asked")
			for _, changes := range []string{"tee", "chmod", "rm"} { // policy-rc.d stays as it is
				c.fakes[changes] = "exit 0"
			}
			for program, does := range c.fakes {
				if err := os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\n"+does+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, program := range []string{"env", "grep"} {
				if path, err := exec.LookPath(program); err != nil || os.Symlink(path, filepath.Join(bin, program)) != nil {
					t.Fatal(program, err)
				}
			}
			cmd := exec.Command("/bin/bash", script)
			cmd.Env = []string{"PATH=" + bin, "ASKED=" + asked}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.says) {
				t.Errorf("%v: %s", err, out)
			}
			got, _ := os.ReadFile(asked) // nobody may have asked
			if !strings.Contains(string(got), c.asks) || strings.Contains(string(got), c.neverInstall) {
				t.Errorf("asked apt-get for %s", got)
			}
		})
	}
}
