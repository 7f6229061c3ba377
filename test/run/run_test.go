package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runSample runs the command on the sample, in a copy of the folder that it expects, with a script that prints the
// missing tools. It returns the output and the exit code.
func runSample(t *testing.T, binary, outcome, missing string, flags ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf '" + missing + "'\n"
	sample, err := os.ReadFile("testdata/sample/sample_test.go")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "scripts"), 0o700)
	}
	for name, text := range map[string]string{
		"go.mod": "module sample\n", "sample_test.go": string(sample), "scripts/install-test-deps": script,
	} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append(flags, "-count", "1", ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SAMPLE="+outcome)
	out, err := cmd.CombinedOutput()
	failed, _ := errors.AsType[*exec.ExitError](err)
	if failed != nil {
		return string(out), failed.ExitCode()
	}
	return string(out), 0
}

// TestRun checks the output and the exit code: the closing lines of go test, failures and panics, the skipped tests
// with their reasons, and the rule about tools.
func TestRun(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "run")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const installable = `a widget\tinstallable\n`
	for name, c := range map[string]struct {
		outcome, missing string
		flags            []string
		code             int
		want             []string
	}{
		"pass": {want: []string{
			"ok  \tsample\t", "Slowest packages:\n", " s  sample\n", "Skipped tests, and why:\n",
			"  this machine has no widget: sample.TestSkip/other\n",
			"  this machine has two widgets: sample.TestSkip (2 subtests)\n",
			"  widget is missing; run \"make deps\": sample.TestSkip/tool\n",
		}},
		"fail": {outcome: "fail", code: 1, want: []string{
			"--- FAIL: TestFail", "sample_test.go:21: printed", "FAIL\tsample\t", "Skipped tests, and why:\n",
			"The first failures again:\n    sample_test.go:21: printed\n--- FAIL",
		}},
		"panic": {outcome: "panic", code: 1, want: []string{
			"before the panic", "panic: printed too", "FAIL\tsample\t",
		}},
		"broken":  {flags: []string{"-run", "("}, code: 1, want: []string{"FAIL\tsample\t"}},
		"a tool":  {flags: []string{"-strict"}, missing: installable, code: 1, want: []string{"here: a widget; run"}},
		"no tool": {flags: []string{"-strict"}, code: 1, want: []string{"no tool is missing: add the tool"}},
		"unavailable": {
			flags: []string{"-strict"}, missing: `a widget\tunavailable\n`, want: []string{"ok  \tsample\t"},
		},
		"other skips": {
			flags: []string{"-strict", "-run", "TestPass"}, want: []string{"ok  \tsample\t", "Skipped tests: none\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := runSample(t, binary, c.outcome, c.missing, c.flags...)
			if code != c.code || strings.Contains(out, "not printed") || strings.Contains(out, "=== RUN") {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("the output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}
