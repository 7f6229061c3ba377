package torture_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// mutant is Pawl with a deliberate fault. The torture test must find the fault, otherwise its success means nothing.
//
// The faults are not in the production sources: "go build -overlay" replaces source files with edited copies.
type mutant struct {
	name  string
	edits []edit
	kills int                // how many kills the test needs to find the fault
	found func(*report) bool // whether the count that is named after the fault is above 0
}

// edit replaces old with new in the sources of a package. The package must contain old exactly once, because an edit
// that matches nothing would silently have no effect.
type edit struct{ dir, old, new string }

func doubleSuccessors(r *report) bool { return r.double > 0 }
func lostRefreshes(r *report) bool    { return r.lost > 0 }

var sqliteMutants = []mutant{
	{
		name: "SQLite without compare", // Rotate accepts every generation
		edits: []edit{
			{dir: "internal/store/sqlite", old: "if r.Rotates(&session) {", new: "if true {"},
			{dir: "internal/store/sqlite", old: "op.rotated = r.Rotates(&state.Session)", new: "op.rotated = true"},
		},
		kills: 10,
		found: doubleSuccessors,
	},
	{
		// Rotations stay in memory. Without the fsync alone, a kill would lose nothing, because the kernel still has
		// the writes of a killed process.
		name: "SQLite without log",
		edits: []edit{{
			dir: "internal/sessionlog",
			old: "if err := b.rows.append(rows, &b.changes[i]); err != nil {",
			new: "if b.changes[i].generation > 1 {\ncontinue\n}\n" +
				"if err := b.rows.append(rows, &b.changes[i]); err != nil {",
		}},
		kills: 10,
		found: lostRefreshes,
	},
}

var postgresMutants = []mutant{
	{
		name: "PostgreSQL without compare", // Rotate accepts every generation
		edits: []edit{
			{dir: "internal/store/postgres", old: "WHERE s.generation = n.origin AND n.at", new: "WHERE n.at"},
			{dir: "internal/store/postgres", old: " AND s.generation = n.origin", new: ""},
		},
		kills: 5,
		found: doubleSuccessors,
	},
}

const moduleRoot = "../.."

// build builds the mutant's binary and returns its path.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for path, source := range m.sources(t) {
		replacement := filepath.Join(t.TempDir(), filepath.Base(path))
		if err := os.WriteFile(replacement, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = replacement
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return testbin.Build(t, "-overlay", file)
}

// sources returns the edited sources of all packages that the mutant edits, by their absolute paths.
func (m mutant) sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range m.edits {
		dir, err := filepath.Abs(filepath.Join(moduleRoot, e.dir))
		if err != nil {
			t.Fatal(err)
		}
		sources, err := readPackage(dir, all)
		if err == nil {
			err = e.apply(sources)
		}
		if err != nil {
			t.Fatalf("mutant %q, %s: %v; adapt its edits to the sources", m.name, e.dir, err)
		}
		maps.Copy(all, sources)
	}
	return all
}

// readPackage returns the sources of a package by path, without its tests. It prefers sources that are edited already.
func readPackage(dir string, edited map[string]string) (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	sources := map[string]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, ok := edited[path]
		if !ok {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			source = string(text)
		}
		sources[path] = source
	}
	return sources, nil
}

// apply replaces the only occurrence of e.old. It fails if the sources do not contain e.old exactly once.
func (e edit) apply(sources map[string]string) error {
	count, target := 0, ""
	for path, source := range sources {
		if n := strings.Count(source, e.old); n > 0 {
			count += n
			target = path
		}
	}
	if count != 1 {
		return fmt.Errorf("the package contains %q %d times, want once", e.old, count)
	}
	sources[target] = strings.Replace(sources[target], e.old, e.new, 1)
	return nil
}

// TestMutantsApply checks the edits of all mutants without building them, so that a change of the stores that breaks an
// edit is found early.
func TestMutantsApply(t *testing.T) {
	for _, m := range slices.Concat(sqliteMutants, postgresMutants) {
		if len(m.sources(t)) == 0 {
			t.Errorf("mutant %q edits nothing", m.name)
		}
	}
}

// TestEdit checks that an edit is strict.
func TestEdit(t *testing.T) {
	for _, c := range []struct {
		name    string
		sources map[string]string
		want    map[string]string // nil if apply must fail
	}{
		{
			name:    "once",
			sources: map[string]string{"a": "x = old", "b": "y"},
			want:    map[string]string{"a": "x = new", "b": "y"},
		},
		{name: "missing", sources: map[string]string{"a": "x", "b": "y"}},
		{name: "twice in a file", sources: map[string]string{"a": "old old"}},
		{name: "in two files", sources: map[string]string{"a": "old", "b": "old"}},
	} {
		err := edit{old: "old", new: "new"}.apply(c.sources)
		if (err == nil) != (c.want != nil) {
			t.Errorf("%s: apply: %v", c.name, err)
		}
		if err == nil && !maps.Equal(c.sources, c.want) {
			t.Errorf("%s: apply leaves %v, want %v", c.name, c.sources, c.want)
		}
	}
}
