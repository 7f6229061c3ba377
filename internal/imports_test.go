package internal_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/pawlauth/pawl"

// allowedImports has, for each package, the packages of this module that it may import. Packages of tests need no entry
// if they import none of them.
var allowedImports = map[string][]string{
	"api":                    {},
	"internal":               {},
	"internal/password":      {},
	"internal/pgtest":        {},
	"internal/recorder":      {},
	"internal/seal":          {},
	"internal/store/batch":   {},
	"internal/testbin":       {},
	"token":                  {},
	"examples/go/gateway":    {},
	"examples/go/jwks":       {"client"},
	"examples/go/middleware": {"client"},

	"internal/metrics":         {"internal/authority", "internal/recorder"},
	"internal/tracing":         {"internal/authority", "internal/recorder", "token"},
	"internal/bench":           {"api"},
	"internal/apicheck":        {"api"},
	"test/load":                {"api", "internal/bench", "internal/pgtest", "internal/seal", "internal/testbin"},
	"internal/authority":       {"token", "internal/password", "internal/seal"},
	"client":                   {"api", "token"},
	"internal/store/sqlite":    {"internal/authority", "internal/store/batch", "token"},
	"internal/store/postgres":  {"internal/authority", "internal/store/batch", "token"},
	"internal/storecopy":       {"internal/authority", "internal/seal", "token"},
	"internal/userimport":      {"internal/authority"},
	"internal/store/storetest": {"internal/authority", "token"},
	"internal/server":          {"internal/authority", "api", "token"},
	"internal/app": {"internal/authority", "internal/metrics", "internal/password", "internal/seal", "internal/server",
		"internal/store/postgres", "internal/store/sqlite", "internal/tracing", "token"},
	"pawltest": {"internal/app", "internal/authority", "internal/password", "internal/seal", "token"},
	"cmd/pawl": {"api", "client", "token", "internal/app", "internal/authority", "internal/bench", "internal/metrics",
		"internal/password", "internal/seal", "internal/server", "internal/store/sqlite", "internal/storecopy",
		"internal/tracing", "internal/userimport"},
}

// TestImports checks the imports of each package against allowedImports, so that imports run downwards only.
func TestImports(t *testing.T) {
	format := `{{.ImportPath}} {{join .Imports " "}}`
	out, err := exec.Command("go", "list", "-f", format, modulePath+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], modulePath+"/")
		seen[name] = true
		for _, problem := range forbiddenImports(name, fields[1:]) {
			t.Error(problem)
		}
	}
	for name := range allowedImports {
		if !seen[name] {
			t.Errorf("allowedImports has %s, which is no package", name)
		}
	}
}

// forbiddenImports returns a problem for each import that a package may not have.
func forbiddenImports(name string, imports []string) []string {
	allowed, listed := allowedImports[name]
	var problems []string
	if !listed && !strings.HasPrefix(name, "test/") {
		problems = append(problems, name+" is missing from allowedImports")
	}
	for _, path := range imports {
		if other, ours := strings.CutPrefix(path, modulePath+"/"); ours && !slices.Contains(allowed, other) {
			problems = append(problems, name+" may not import "+other)
		}
	}
	return problems
}

// TestForbiddenImports checks that forbiddenImports finds what it should.
func TestForbiddenImports(t *testing.T) {
	tests := []struct {
		name, path string
		want       int
	}{
		{name: "client", path: modulePath + "/api", want: 0},
		{name: "client", path: "net/http", want: 0},
		{name: "client", path: modulePath + "/internal/server", want: 1},
		{name: "internal/store/sqlite", path: modulePath + "/internal/server", want: 1},
		{name: "internal/unlisted", path: "fmt", want: 1},
		{name: "test/unlisted", path: "fmt", want: 0},
		{name: "test/unlisted", path: modulePath + "/internal/server", want: 1},
	}
	for _, test := range tests {
		if got := forbiddenImports(test.name, []string{test.path}); len(got) != test.want {
			t.Errorf("%s imports %s: %v, want %d problems", test.name, test.path, got, test.want)
		}
	}
}
