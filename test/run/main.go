// Command run runs go test, prints what go test prints, and then lists the skipped tests with the reason of each, and
// the slowest packages. With -strict it fails if a test was skipped because of a tool that could have been installed.
//
//	go run ./test/run [-strict] [arguments of go test]
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	strict := len(os.Args) > 1 && os.Args[1] == "-strict"
	args := os.Args[1:]
	if strict {
		args = args[1:]
	}
	code, err := run(args, strict)
	if err != nil {
		fmt.Fprintf(os.Stderr, "test/run: %v\n", err)
	}
	os.Exit(code)
}

// run runs go test with these arguments, and returns the exit code.
func run(args []string, strict bool) (int, error) {
	test := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	test.Stderr = os.Stderr
	events, err := test.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := test.Start(); err != nil {
		return 1, err
	}
	r := newReporter(os.Stdout)
	if err := r.read(events); err != nil {
		return 1, errors.Join(err, test.Process.Kill())
	}
	failed := test.Wait()
	r.summarize()
	if exit, ok := errors.AsType[*exec.ExitError](failed); ok {
		return max(1, exit.ExitCode()), nil // go test has printed why
	}
	if failed != nil || !strict || !r.skippedForTools() {
		return 0, failed
	}
	missing, err := missingTools()
	if err != nil {
		return 1, err
	}
	return checkTools(missing)
}

// missingTools returns the missing tools that the tests need, one on each line: its name, a tab, and whether it is
// installable or unavailable.
func missingTools() (string, error) {
	out, err := exec.Command("scripts/install-test-deps", "--missing").Output()
	if err != nil {
		return "", fmt.Errorf("scripts/install-test-deps --missing: %w", err)
	}
	return string(out), nil
}

// checkTools returns the exit code for tests that were skipped because of tools. The tests may be skipped only if no
// missing tool can be installed here.
func checkTools(missing string) (int, error) {
	var installable []string
	for line := range strings.Lines(missing) {
		if tool, ok := strings.CutSuffix(strings.TrimSpace(line), "\tinstallable"); ok {
			installable = append(installable, tool)
		}
	}
	switch {
	case len(installable) > 0:
		return 1, fmt.Errorf("tests were skipped because of tools that can be installed here: %s; run \"make deps\"",
			strings.Join(installable, ", "))
	case missing == "":
		return 1, errors.New("tests were skipped because of a missing tool, but no tool is missing: " +
			"add the tool to scripts/install-test-deps, or correct the test")
	}
	return 0, nil
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// read handles each event until the end of the stream.
func (r *reporter) read(events io.Reader) error {
	for decoder := json.NewDecoder(events); ; {
		var e event
		if err := decoder.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("the output of go test -json: %w", err)
		}
		r.handle(e)
	}
}
