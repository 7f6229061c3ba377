package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// reporter turns events into the output of a plain go test: the closing line of each package, and everything that
// failed.
type reporter struct {
	out    io.Writer
	tests  map[testID]string // the output of the tests that have not ended
	failed string            // the output of the first tests that failed
	skips  map[string][]string
	timing map[string]float64 // seconds by package
}

// testID is a test of a package. A subtest's name has the name of its test before a slash.
type testID struct{ pkg, name string }

func newReporter(out io.Writer) *reporter {
	return &reporter{
		out: out, tests: map[testID]string{}, skips: map[string][]string{}, timing: map[string]float64{},
	}
}

func (r *reporter) handle(e event) {
	id := testID{pkg: e.Package, name: e.Test}
	switch {
	case e.Action == "build-output", e.Action == "output" && e.Test == "":
		if e.Output != "PASS\n" && !strings.HasPrefix(e.Output, "=== ") {
			fmt.Fprint(r.out, e.Output)
		}
	case e.Action == "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			r.tests[id] += e.Output
		}
	case e.Test == "" && (e.Action == "pass" || e.Action == "fail"):
		r.endPackage(e)
	case e.Action == "fail":
		r.fail(id)
	case e.Action == "skip" && e.Test != "":
		why := reason(r.tests[id])
		r.skips[why] = append(r.skips[why], path.Base(e.Package)+"."+e.Test)
		delete(r.tests, id)
	case e.Action == "pass":
		delete(r.tests, id)
	}
}

// endPackage prints the output of the tests that a panic or a time-out has ended.
func (r *reporter) endPackage(e event) {
	r.timing[e.Package] = e.Elapsed
	for id := range r.tests {
		if id.pkg == e.Package {
			r.fail(id)
		}
	}
}

// maxRepeated bounds the output of failed tests that summarize repeats, in bytes.
const maxRepeated = 8000

// fail prints the output of a failed test.
func (r *reporter) fail(id testID) {
	output := r.tests[id]
	delete(r.tests, id)
	fmt.Fprint(r.out, output)
	r.failed += output[:min(len(output), maxRepeated-len(r.failed))]
}

var sourceLine = regexp.MustCompile(`^\S+\.go:\d+: `)

// reason returns the text that a skipped test has logged.
func reason(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- SKIP") {
			lines = append(lines, sourceLine.ReplaceAllString(line, ""))
		}
	}
	if len(lines) == 0 {
		return "no reason"
	}
	return lines[len(lines)-1]
}

// toolAdvice is in the reason of each test that was skipped because of a missing tool.
const toolAdvice = `run "make deps"`

// skippedForTools reports whether a test was skipped because of a missing tool.
func (r *reporter) skippedForTools() bool {
	for why := range r.skips {
		if strings.Contains(why, toolAdvice) {
			return true
		}
	}
	return false
}

// summarize prints the slowest packages, the skipped tests by reason, and the beginning of the failures again, because
// the lines of hundreds of packages may stand between them and the end.
func (r *reporter) summarize() {
	const shown = 5
	slowest := slices.SortedFunc(maps.Keys(r.timing), func(a, b string) int {
		return cmp.Compare(r.timing[b], r.timing[a])
	})
	defer r.repeatFailures()
	fmt.Fprintln(r.out, "\nSlowest packages:")
	for _, pkg := range slowest[:min(shown, len(slowest))] {
		fmt.Fprintf(r.out, "  %6.1f s  %s\n", r.timing[pkg], pkg)
	}
	if len(r.skips) == 0 {
		fmt.Fprintln(r.out, "Skipped tests: none")
		return
	}
	fmt.Fprintln(r.out, "Skipped tests, and why:")
	for _, why := range slices.Sorted(maps.Keys(r.skips)) {
		fmt.Fprintf(r.out, "  %s: %s\n", why, strings.Join(shortened(r.skips[why]), ", "))
	}
}

func (r *reporter) repeatFailures() {
	if r.failed != "" {
		fmt.Fprintf(r.out, "The first failures again:\n%s\n", r.failed)
	}
}

// shortened returns names of tests with the number of subtests where a test has several.
func shortened(tests []string) []string {
	subtests := map[string]int{}
	for _, name := range tests {
		test, _, _ := strings.Cut(name, "/")
		subtests[test]++
	}
	var short []string
	for _, name := range tests {
		test, _, _ := strings.Cut(name, "/")
		switch n := subtests[test]; {
		case n == 1:
			short = append(short, name)
		case n > 1:
			short = append(short, fmt.Sprintf("%s (%d subtests)", test, n))
			delete(subtests, test)
		}
	}
	return short
}
