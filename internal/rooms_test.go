package internal_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestRooms holds which room may import which (docs/architecture.md).
func TestRooms(t *testing.T) {
	const module = "github.com/pawlauth/pawl/"
	may := map[string][]string{
		"internal": {}, "api": {}, "token": {}, "internal/store/batch": {}, "internal/password": {}, "internal/testbin": {}, "internal/pgtest": {}, "internal/seal": {}, "internal/recorder": {},
		"internal/metrics":         {"internal/authority", "internal/recorder"},
		"internal/tracing":         {"internal/authority", "internal/recorder", "token"},
		"internal/bench":           {"api"},
		"test/load":                {"api", "internal/bench", "internal/pgtest", "internal/seal", "internal/testbin"},
		"internal/authority":       {"token", "internal/password", "internal/seal"},
		"client":                   {"api", "token"},
		"internal/store/sqlite":    {"internal/authority", "internal/store/batch", "token"},
		"internal/store/postgres":  {"internal/authority", "internal/store/batch", "token"},
		"internal/storecopy":       {"internal/authority", "internal/seal", "token"},
		"internal/userimport":      {"internal/authority"},
		"internal/store/storetest": {"internal/authority", "token"},
		"internal/server":          {"internal/authority", "api", "token"},
		"internal/app":             {"internal/authority", "internal/metrics", "internal/password", "internal/seal", "internal/server", "internal/store/postgres", "internal/store/sqlite", "internal/tracing", "token"},
		"pawltest":                 {"internal/app", "internal/authority", "internal/password", "internal/seal", "token"},
		"cmd/pawl": {"api", "client", "token", "internal/app", "internal/authority", "internal/bench", "internal/metrics", "internal/password", "internal/seal", "internal/server",
			"internal/store/sqlite", "internal/storecopy", "internal/tracing", "internal/userimport"},
		"internal/apicheck":      {"api"},
		"examples/go/middleware": {"client"}, "examples/go/jwks": {"client"}, "examples/go/gateway": {},
	}
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		room := strings.TrimPrefix(fields[0], module)
		allowed, known := may[room]
		if !known && !strings.HasPrefix(room, "test/") {
			t.Errorf("%s is a room that this test does not know", room)
		}
		seen++
		for _, path := range fields[1:] {
			if other, ours := strings.CutPrefix(path, module); ours && !slices.Contains(allowed, other) {
				t.Errorf("%s imports %s", room, other)
			}
		}
	}
	if seen < len(may) {
		t.Errorf("go list named %d packages, want %d or more", seen, len(may))
	}
}
