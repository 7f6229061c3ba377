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
	"api":    {},
	"client": {"api", "internal/clock", "internal/revocation", "internal/token"},
	"cmd/pawl": {
		"api", "client", "internal/app", "internal/authority", "internal/authority/fault",
		"internal/authority/keyring", "internal/bench", "internal/console", "internal/logqueue",
		"internal/metrics", "internal/password", "internal/seal", "internal/server", "internal/store/sqlite",
		"internal/storecopy", "internal/token", "internal/tracing", "internal/trust", "internal/userimport",
	},
	"examples/go/feed":       {"client"},
	"examples/go/gateway":    {},
	"examples/go/jwks":       {"client"},
	"examples/go/middleware": {"client"},
	"examples/go/oauth2":     {},
	"examples/go/own-login":  {"api", "client"},
	"examples/go/receiver":   {},
	"internal":               {},
	"internal/app": {
		"internal/authority", "internal/authority/audit", "internal/authority/keyring", "internal/console",
		"internal/metrics", "internal/password", "internal/push", "internal/revocation", "internal/seal",
		"internal/server", "internal/store/postgres", "internal/store/sqlite", "internal/storecopy",
		"internal/token", "internal/tracing", "internal/trust", "internal/userimport",
	},
	"internal/authority": {
		"internal/authority/audit", "internal/authority/fault", "internal/authority/keyring",
		"internal/authority/throttle", "internal/metrics", "internal/password", "internal/prepare",
		"internal/redact", "internal/token", "internal/tracing", "internal/trust",
	},
	"internal/authority/audit":    {"internal/authority/fault", "internal/metrics", "internal/token"},
	"internal/authority/fault":    {},
	"internal/authority/keyring":  {"internal/authority/fault", "internal/seal", "internal/token"},
	"internal/authority/throttle": {"internal/authority/fault", "internal/prepare", "internal/tracing"},
	"internal/bench":              {"api"},
	"internal/clock":              {},
	"internal/console": {
		"internal/authority", "internal/authority/audit", "internal/authority/fault", "internal/authority/keyring",
		"internal/clock", "internal/look", "internal/metrics", "internal/token",
	},
	"internal/fastlane": {},
	"internal/logqueue": {},
	"internal/look":     {},
	"internal/metrics":  {"internal/recorder", "internal/revocation"},
	"internal/password": {"internal/prepare", "internal/tracing"},
	"internal/prepare":  {},
	"internal/push": {
		"internal/authority", "internal/authority/audit", "internal/authority/fault", "internal/metrics",
		"internal/seal", "internal/token",
	},
	"internal/recorder":   {},
	"internal/redact":     {},
	"internal/revocation": {"internal/token"},
	"internal/seal":       {},
	"internal/server": {
		"api", "internal/authority", "internal/authority/audit", "internal/authority/fault",
		"internal/authority/keyring", "internal/authority/throttle", "internal/fastlane", "internal/recorder",
		"internal/redact", "internal/revocation", "internal/server/docs", "internal/token",
	},
	"internal/server/docs": {"api", "internal/look"},
	"internal/sessionlog":  {"internal/authority", "internal/token"},
	"internal/store/batch": {},
	"internal/store/postgres": {
		"internal/authority", "internal/authority/audit", "internal/authority/fault", "internal/authority/keyring",
		"internal/authority/throttle", "internal/clock", "internal/metrics", "internal/prepare",
		"internal/revocation", "internal/store/batch", "internal/storecopy", "internal/token",
		"internal/userimport",
	},
	"internal/store/sqlite": {
		"internal/authority", "internal/authority/audit", "internal/authority/fault", "internal/authority/keyring",
		"internal/authority/throttle", "internal/metrics", "internal/prepare", "internal/revocation",
		"internal/sessionlog", "internal/store/batch", "internal/storecopy", "internal/token",
		"internal/userimport",
	},
	"internal/store/storetest": {
		"internal/authority", "internal/authority/audit", "internal/authority/fault", "internal/authority/keyring",
		"internal/authority/throttle", "internal/revocation", "internal/storecopy", "internal/token",
		"internal/userimport",
	},
	"internal/storecopy": {
		"internal/authority", "internal/authority/audit", "internal/authority/keyring", "internal/seal",
		"internal/token",
	},
	"internal/test/apicheck":  {"api"},
	"internal/test/freeaddr":  {},
	"internal/test/npmtest":   {},
	"internal/test/patroni":   {"internal/test/pgtest"},
	"internal/test/pgtest":    {"internal/test/freeaddr"},
	"internal/test/smalldisk": {},
	"internal/test/testbin":   {"client", "internal/test/freeaddr", "internal/test/testlog"},
	"internal/test/testcert":  {},
	"internal/test/testlog":   {},
	"internal/test/wallclock": {},
	"internal/token":          {},
	"internal/tracing":        {"internal/recorder", "internal/redact"},
	"internal/trust":          {"internal/clock"},
	"internal/userimport": {
		"internal/authority", "internal/authority/audit", "internal/authority/fault", "internal/password",
		"internal/prepare",
	},
	"pawltest": {
		"client", "internal/app", "internal/authority", "internal/password", "internal/seal", "internal/server",
		"internal/test/testlog", "internal/token",
	},
	"test/load": {
		"api", "client", "internal/bench", "internal/seal", "internal/test/pgtest", "internal/test/testbin",
	},
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
