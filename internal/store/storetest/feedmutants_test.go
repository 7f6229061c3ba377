package storetest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// feedMutant is a store with a fault in what it publishes. TestFeed must find it.
type feedMutant struct {
	store, test string
	file        string
	old, new    string // the file contains old exactly once
	always      bool   // whether it runs without -all-mutants
}

var feedMutants = map[string]feedMutant{
	"SQLite loses an event": {
		store: "sqlite", test: "^TestFeed$", file: "commit.go",
		old: "if o := &op.Value; o.rotated {", new: "if o := &op.Value; o.rotated && o.session.Generation != 17 {",
		always: true,
	},
	"SQLite publishes after the answer": {
		store: "sqlite", test: "^TestFeed$", file: "commit.go",
		old: "\ts.feed.Publish(changes)",
		new: "\ttime.AfterFunc(300*time.Millisecond, func() { s.feed.Publish(changes) })",
	},
	"PostgreSQL loses an event": {
		store: "postgres", test: "^TestFeed$", file: "follow.go",
		old: "for _, row := range rows {", new: "for _, row := range rows[len(rows)/2:] {",
	},
	"PostgreSQL reorders events": {
		store: "postgres", test: "^TestFeed$", file: "follow.go",
		old: "for _, row := range rows {", new: "slices.Reverse(rows)\nfor _, row := range rows {",
		always: true,
	},
	"PostgreSQL beats before the events": {
		store: "postgres", test: "^TestFeed$", file: "follow.go",
		old: "s.apply(next.rows)",
		new: "s.feed.Beat(s.feed.Now())\ntime.Sleep(20 * time.Millisecond)\ns.apply(next.rows)",
	},
	"PostgreSQL beats without its channel": {
		store: "postgres", test: "^TestFeedCutOff$/^dropped$", file: "follow.go",
		old: "case err != nil:\n", new: "case err != nil:\ns.feed.Beat(instant)\n",
		always: true,
	},
	"PostgreSQL continues after a failover": {
		store: "postgres", test: "^TestFeedFailover$", file: "follow.go",
		old: "case next.server != last.server:", new: "case false:",
	},
}

// edited returns the source of the mutant.
func (m feedMutant) edited(t *testing.T) (path, source string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", m.store, m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), m.old) != 1 {
		t.Fatalf("%s does not contain %q exactly once", m.file, m.old)
	}
	source = strings.Replace(string(text), m.old, m.new, 1)
	if strings.Contains(m.new, "slices.") {
		source = strings.Replace(source, "import (\n", "import (\n\"slices\"\n", 1)
	}
	return path, source
}

// TestFeedSeesFaults runs the tests of the feed with each fault. They must fail.
func TestFeedSeesFaults(t *testing.T) {
	for name, m := range feedMutants {
		t.Run(name, func(t *testing.T) {
			path, source := m.edited(t)
			if testing.Short() || !m.always && !*allMutants {
				t.Skip("builds the tests of the stores again")
			}
			temp := t.TempDir()
			replacement, overlay := filepath.Join(temp, m.file), filepath.Join(temp, "overlay.json")
			text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: replacement}})
			if err != nil {
				t.Fatal(err)
			}
			for file, content := range map[string]string{replacement: source, overlay: string(text)} {
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			binary := filepath.Join(temp, "store.test")
			build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "-overlay", overlay, ".")
			build.Dir = filepath.Dir(path)
			if output, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			run := exec.CommandContext(t.Context(), binary, "-test.run", m.test, "-test.timeout", "2m")
			run.Dir = build.Dir
			output, err := run.CombinedOutput()
			if err == nil || !strings.Contains(string(output), "--- FAIL: TestFeed") {
				t.Errorf("the test does not find the fault: %v\n%s", err, output)
			}
		})
	}
}
