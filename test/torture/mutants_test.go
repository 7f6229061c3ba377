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
// The faults are not in the production sources: "go build -overlay" replaces source files with edited copies. One
// binary has all faults. The environment selects the fault by the mutant's name.
type mutant struct {
	name     string
	edits    []edit
	long     bool               // whether only "make torture" runs it
	kills    int                // how many kills are checked together
	verifier bool               // as in plan
	found    func(*report) bool // whether the checks for this kind of fault have found it
}

// edit replaces old with new in the sources of a package. The package must contain old exactly once, because an edit
// that matches nothing would silently have no effect. In new, MUTANT stands for an expression that is true if the
// mutant is selected.
type edit struct{ dir, old, new string }

// mutantRounds is how many runs may look for a fault. A slow machine makes few calls between two kills, so that half of
// the runs may miss a fault that needs two calls at once.
const mutantRounds = 12

func doubleSuccessors(r *report) bool { return r.illegal > 0 && r.double > 0 }
func lostRefreshes(r *report) bool    { return r.illegal > 0 && r.lost > 0 }
func endedAccepted(r *report) bool    { return r.illegal > 0 && r.superseded > 0 }
func illegalSessions(r *report) bool  { return r.illegal > 0 }
func illegalFamilies(r *report) bool  { return r.illegalUsers > 0 }
func wrongLocal(r *report) bool       { return r.wrongLocal > 0 }

var sqliteMutants = []mutant{
	{
		name: "SQLite without compare", // Rotate accepts every generation
		edits: []edit{{
			dir: "internal/authority", old: "return s.Generation == r.From && r.At < s.Idle",
			new: "return MUTANT || s.Generation == r.From && r.At < s.Idle",
		}},
		kills: 5, found: doubleSuccessors,
	},
	{
		// Rotations stay in memory. Without the fsync alone, a kill would lose nothing, because the kernel still has
		// the writes of a killed process.
		name: "SQLite without log",
		edits: []edit{{
			dir: "internal/sessionlog",
			old: "if err := b.rows.append(rows, &b.changes[i]); err != nil {",
			new: "if MUTANT && b.changes[i].generation > 1 {\ncontinue\n}\n" +
				"if err := b.rows.append(rows, &b.changes[i]); err != nil {",
		}},
		kills: 5, found: lostRefreshes,
	},
	{
		name: "SQLite keeps the sessions of a suspended user",
		edits: []edit{{
			dir: "internal/store/sqlite",
			old: "if !user.Status.MaySignIn() {\n\t\t\tif err := c.endEpochs(",
			new: "if !MUTANT && !user.Status.MaySignIn() {\n\t\t\tif err := c.endEpochs(",
		}},
		kills: 6, found: endedAccepted,
	},
	{
		// A write does not check that the caller still has the rights. It also waits, because its transaction would
		// begin microseconds after the check of the authority.
		name: "SQLite without rights",
		edits: []edit{
			{
				dir: "internal/store/sqlite", old: "if r.Actor.UserID == 0 {",
				new: "if MUTANT || r.Actor.UserID == 0 {",
			},
			{
				dir: "internal/store/sqlite", old: "return tx(ctx, s, u, func(c *change) (T, error) {\n\t\tif err",
				new: "_ = MUTANT && wait()\nreturn tx(ctx, s, u, func(c *change) (T, error) {\nif err",
			},
		},
		kills: 10, found: illegalFamilies,
	},
	{
		name: "SQLite accepts removed API keys", // because they stay in the cache
		edits: []edit{{
			dir: "internal/store/sqlite", old: "s.apiKeys.remove(", new: "if MUTANT {\ncontinue\n}\ns.apiKeys.remove(",
		}},
		kills: 6, found: illegalFamilies, long: true,
	},
	{
		name: "the feed loses every change", // so that a verifier in memory accepts dead tokens
		edits: []edit{{
			dir: "internal/revocation", old: "if !f.open || f.epoch == \"\" {",
			new: "if MUTANT || !f.open || f.epoch == \"\" {",
		}},
		kills: 5, verifier: true, found: wrongLocal,
	},
	{
		name: "any password", // a former one, for example
		edits: []edit{{
			dir: "internal/authority", old: "case !right:\n\t\treturn login",
			new: "case !MUTANT && !right:\nreturn login",
		}},
		kills: 6, found: illegalFamilies, long: true,
	},
	{
		name: "replays of expired tokens refused",
		edits: []edit{{
			dir: "internal/authority", old: "case kind == reuseReplay:\n", new: "case kind == reuseReplay:\n" +
				"if MUTANT && tokenErr != nil {\nreturn IssuedToken{}, RefreshExpired, errSession\n}\n",
		}},
		kills: 14, found: illegalSessions,
	},
	{
		name: "expired tokens refused, although their idle time has not passed",
		edits: []edit{{
			dir: "internal/authority", old: "case errors.Is(tokenErr, token.ErrExpired):\n\t\t// The session",
			new: "case MUTANT && tokenErr != nil:\nreturn IssuedToken{}, RefreshUnknown, errSession\n" +
				"case errors.Is(tokenErr, token.ErrExpired):\n// The session",
		}},
		kills: 14, found: lostRefreshes, long: true,
	},
}

var postgresMutants = []mutant{
	{
		name: "PostgreSQL without compare", // Rotate accepts every generation
		edits: []edit{
			{dir: "internal/store/postgres", old: "const rotateSQL =", new: "var rotateSQL ="},
			{dir: "internal/store/postgres", old: "const rotateCheckedSQL =", new: "var rotateCheckedSQL ="},
			{dir: "internal/store/postgres", old: "const rotateShardSQL =", new: "var rotateShardSQL ="},
			{dir: "internal/store/postgres", old: "const rotateShardCheckedSQL =", new: "var rotateShardCheckedSQL ="},
			{dir: "internal/store/postgres", old: "const selectRotations =", new: "var selectRotations ="},
			{dir: "internal/store/postgres", old: "const updateRotated =", new: "var updateRotated ="},
			{
				dir: "internal/store/postgres", old: "WHERE s.generation = n.origin AND",
				new: "WHERE (s.generation = n.origin OR ` + fmt.Sprint(MUTANT) + `) AND",
			},
			{
				dir: "internal/store/postgres", old: " AND s.generation = n.origin`",
				new: " AND (s.generation = n.origin OR ` + fmt.Sprint(MUTANT) + `)`",
			},
		},
		kills: 5, found: doubleSuccessors,
	},
	{
		name: "PostgreSQL without rights", // a write does not check that the caller still has them
		edits: []edit{{
			dir: "internal/store/postgres", old: "if r.Actor.UserID == 0 {", new: "if MUTANT || r.Actor.UserID == 0 {",
		}},
		kills: 10, found: illegalFamilies,
	},
}

var allMutants = slices.Concat(sqliteMutants, postgresMutants)

const moduleRoot = "../.."

// mutantVariable is the environment variable that selects a mutant by its name.
const mutantVariable = "TORTURE_MUTANT"

const selector = `package %s

import (
	"os"
	"time"
)

func mutated(name string) bool { return os.Getenv(%q) == name }

func wait() bool {
	time.Sleep(25 * time.Millisecond)
	return true
}
`

// buildMutants builds the binary with all faults, and returns its path.
func buildMutants(t *testing.T) string {
	t.Helper()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	dir := t.TempDir()
	for path, source := range editedSources(t) {
		replacement := filepath.Join(dir, fmt.Sprint(len(overlay.Replace), ".go"))
		if err := os.WriteFile(replacement, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = replacement
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return testbin.Build(t, "-overlay", file)
}

// editedSources returns the sources with the faults of all mutants, by their absolute paths.
func editedSources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range allMutants {
		for _, e := range m.edits {
			dir, err := filepath.Abs(filepath.Join(moduleRoot, e.dir))
			if err != nil {
				t.Fatal(err)
			}
			sources, err := readPackage(dir, all)
			if err == nil {
				e.new = strings.ReplaceAll(e.new, "MUTANT", fmt.Sprintf("mutated(%q)", m.name))
				err = e.apply(sources)
			}
			if err != nil {
				t.Fatalf("mutant %q, %s: %v; adapt its edits to the sources", m.name, e.dir, err)
			}
			maps.Copy(all, sources)
			all[filepath.Join(dir, "mutated.go")] = fmt.Sprintf(selector, filepath.Base(dir), mutantVariable)
		}
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

// TestMutantsApply checks the edits of all mutants without building them. It finds a change of the sources that breaks
// an edit early.
func TestMutantsApply(t *testing.T) {
	if len(editedSources(t)) == 0 {
		t.Error("the mutants edit nothing")
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
