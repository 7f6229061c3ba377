//go:build linux

package postgres_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

var allMutants = flag.Bool("all-mutants", false, "run every mutant of the fence, not only the main ones")

// fenceMutant is the store without a part of the fence. A test must fail for it.
type fenceMutant struct {
	name, test string
	main       bool // whether it runs without -all-mutants too
	edits      []sourceEdit
	citusTest  string // a second test that must fail, which needs Citus; or empty
}

// sourceEdit replaces the only occurrence of old in a file. In new, MUTANT is true if the mutant is selected.
type sourceEdit struct{ file, old, new string }

var fenceMutants = []fenceMutant{
	{
		name: "no lease", test: "^TestLease$", main: true,
		edits: []sourceEdit{{
			file: "standbys.go", old: "return s.total > 0 &&", new: "return !MUTANT && s.total > 0 &&",
		}},
	},
	{
		name: "no wait for the leases of the replaced primary", test: "^TestLease$",
		edits: []sourceEdit{{
			file: "fence.go", old: "case time.Now().Before(f.usableAt):",
			new: "case !MUTANT && time.Now().Before(f.usableAt):",
		}},
	},
	{
		name: "no timeline", test: "^TestReplacedPrimary$", main: true,
		edits: []sourceEdit{
			{
				file: "fence.go", old: "case timeline < f.timeline.Load():",
				new: "case !MUTANT && timeline < f.timeline.Load():",
			},
			{file: "fence.go", old: "{ return timeline != 0 &&", new: "{ return !MUTANT && timeline != 0 &&"},
		},
	},
	{
		name: "acknowledge on a warning", test: "^TestCancelledWait(IsNoLease)?$", main: true,
		edits: []sourceEdit{{
			file: "standby.go", old: `if n.SeverityUnlocalized == "WARNING" &&`,
			new: `if !MUTANT && n.SeverityUnlocalized == "WARNING" &&`,
		}},
	},
	{
		name: "acknowledge on a warning of a worker", test: "^TestWarningsOfCitus$",
		citusTest: "^TestCancelledWaitOfWorker$",
		edits: []sourceEdit{{
			file: "standby.go", old: `"DefaultCitusNoticeReceiver"`,
			new: `map[bool]string{false: "DefaultCitusNoticeReceiver"}[MUTANT]`,
		}},
	},
	{
		name: "acknowledge a failed commit of a worker", test: "^TestWarningsOfCitus$",
		citusTest: "^TestFailedCommitOfWorker$",
		edits: []sourceEdit{{
			file: "standby.go", old: `		slices.Contains(citusRoutines, n.Routine)) {`,
			new: `		!MUTANT && slices.Contains(citusRoutines, n.Routine)) {`,
		}},
	},
}

// TestFenceSeesFaults removes a part of the fence. The test of that part must then fail.
func TestFenceSeesFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tests of the store again")
	}
	t.Parallel() // most of its time is waiting
	binary := buildFenceMutants(t)
	for _, m := range fenceMutants {
		if !m.main && !*allMutants {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			requireFailure(t, binary, m.name, m.test)
			if m.citusTest != "" {
				pgtest.RequireCitus(t)
				requireFailure(t, binary, m.name, m.citusTest)
			}
		})
	}
}

// requireFailure runs a test with a mutant. The test must fail.
func requireFailure(t *testing.T, binary, mutant, test string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), binary, "-test.run", test)
	run.Env = append(os.Environ(), "FENCE_MUTANT="+mutant)
	output, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "--- FAIL: ") {
		t.Errorf("%s passes, or does not run: %v\n%s", test, err, output)
	}
}

// buildFenceMutants builds the tests with all faults, and returns the path of the binary.
func buildFenceMutants(t *testing.T) string {
	t.Helper()
	temp := t.TempDir()
	sources := map[string]string{
		"mutated.go": "package postgres\n\nimport \"os\"\n\n" +
			"func mutated(name string) bool { return os.Getenv(\"FENCE_MUTANT\") == name }\n",
	}
	for _, m := range fenceMutants {
		for _, e := range m.edits {
			if sources[e.file] == "" {
				text, err := os.ReadFile(e.file)
				if err != nil {
					t.Fatal(err)
				}
				sources[e.file] = string(text)
			}
			if n := strings.Count(sources[e.file], e.old); n != 1 {
				t.Fatalf("mutant %q: %s contains %q %d times, want once", m.name, e.file, e.old, n)
			}
			condition := strings.ReplaceAll(e.new, "MUTANT", fmt.Sprintf("mutated(%q)", m.name))
			sources[e.file] = strings.Replace(sources[e.file], e.old, condition, 1)
		}
	}
	overlay := struct{ Replace map[string]string }{Replace: map[string]string{}}
	for name, source := range sources {
		path, err := filepath.Abs(name)
		replacement := filepath.Join(temp, name)
		if err == nil {
			err = os.WriteFile(replacement, []byte(source), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = replacement
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file, binary := filepath.Join(temp, "overlay.json"), filepath.Join(temp, "store.test")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "-overlay", file, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return binary
}
