//go:build linux

package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// recordArgs is a stub of apt-get that records its arguments.
const recordArgs = `echo "$@" >> "$ASKED"`

var depsCases = map[string]struct {
	stubs        map[string]string // the shell script of each program
	prints       string
	asks         string // a part of the arguments of apt-get
	neverInstall string // must not be an argument of apt-get
}{
	"no package": {
		stubs: map[string]string{
			"id": "echo 0",
			// The real apt-cache continues after the candidate: a reader that stops there kills it with SIGPIPE.
			"apt-cache": `[ "$2" = fish ] && echo "Candidate: (none)" || echo "Candidate: 1.0"
				i=0; while [ $i -lt 20000 ]; do echo "a version"; i=$((i+1)); done`,
			"apt-get": recordArgs,
		},
		prints:       "this system has no package; tests are skipped, or fail, without: fish\n",
		asks:         " zsh prometheus",
		neverInstall: "fish",
	},
	"no network": {
		stubs:        map[string]string{"id": "echo 0", "apt-cache": "exit 0", "apt-get": recordArgs + "; exit 100"},
		prints:       "apt-get update fails",
		asks:         "update",
		neverInstall: "install",
	},
	"no root": {
		stubs:        map[string]string{"id": "echo 1000", "apt-get": recordArgs},
		prints:       "this needs root: run as root, apt-get install --no-install-recommends curl jq ",
		neverInstall: "install",
	},
	"no apt-get": {
		stubs:        map[string]string{"id": "echo 0"},
		prints:       "there is no apt-get; install them by hand",
		neverInstall: "install",
	},
}

// TestDeps runs install-test-deps with stub programs and without any of the tools. The script must name the tools that
// it cannot install, and must succeed nevertheless.
func TestDeps(t *testing.T) {
	script, err := filepath.Abs(top + "/scripts/install-test-deps")
	if _, statErr := os.Stat(script); err != nil || statErr != nil { // makes the script an input of go test's cache
		t.Fatal(err, statErr)
	}
	for name, c := range depsCases {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			asked := filepath.Join(bin, "asked")
			for _, program := range []string{"tee", "chmod", "rm"} { // leave the machine's policy-rc.d alone
				c.stubs[program] = "exit 0"
			}
			for program, commands := range c.stubs {
				text := "#!/bin/sh\n" + commands + "\n"
				if err := os.WriteFile(filepath.Join(bin, program), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, program := range []string{"env", "grep"} {
				path, err := exec.LookPath(program)
				if err != nil || os.Symlink(path, filepath.Join(bin, program)) != nil {
					t.Fatal(program, err)
				}
			}
			cmd := exec.Command("/bin/bash", script)
			cmd.Env = []string{"PATH=" + bin, "ASKED=" + asked}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.prints) {
				t.Errorf("%v: printed %s, want %q", err, out, c.prints)
			}
			got, _ := os.ReadFile(asked) // missing if apt-get did not run
			if !strings.Contains(string(got), c.asks) || strings.Contains(string(got), c.neverInstall) {
				t.Errorf("apt-get ran with %s", got)
			}
		})
	}
}
