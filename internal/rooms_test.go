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
		"internal": {}, "api": {}, "internal/token": {}, "internal/store/batch": {}, "internal/password": {}, "internal/test/testbin": {}, "internal/test/pgtest": {}, "internal/seal": {}, "internal/recorder": {},
		"internal/metrics":            {"internal/authority/audit", "internal/authority", "internal/recorder"},
		"internal/tracing":            {"internal/authority/fault", "internal/authority/throttle", "internal/authority", "internal/recorder", "internal/token"},
		"internal/bench":              {"api"},
		"test/load":                   {"api", "internal/bench", "internal/test/pgtest", "internal/seal", "internal/test/testbin"},
		"internal/authority/fault":    {},
		"internal/authority/audit":    {"internal/authority/fault", "internal/token"},
		"internal/authority/throttle": {"internal/authority/fault", "internal/password"},
		"internal/authority/keyring":  {"internal/authority/fault", "internal/seal", "internal/token"},
		"internal/authority": {"internal/token", "internal/password", "internal/authority/fault", "internal/authority/audit",
			"internal/authority/throttle", "internal/authority/keyring"},
		"client":                   {"api", "internal/token"},
		"internal/store/sqlite":    {"internal/authority/audit", "internal/authority/fault", "internal/authority/keyring", "internal/authority/throttle", "internal/storecopy", "internal/userimport", "internal/authority", "internal/store/batch", "internal/token"},
		"internal/store/postgres":  {"internal/authority/audit", "internal/authority/fault", "internal/authority/keyring", "internal/authority/throttle", "internal/storecopy", "internal/userimport", "internal/authority", "internal/store/batch", "internal/token"},
		"internal/storecopy":       {"internal/authority/keyring", "internal/authority", "internal/seal", "internal/token"},
		"internal/userimport":      {"internal/authority/audit", "internal/authority/fault", "internal/password", "internal/authority"},
		"internal/store/storetest": {"internal/authority/audit", "internal/authority/fault", "internal/authority/keyring", "internal/authority/throttle", "internal/userimport", "internal/authority", "internal/token"},
		"internal/server":          {"internal/authority/audit", "internal/authority/fault", "internal/authority/keyring", "internal/authority/throttle", "internal/authority", "api", "internal/token"},
		"internal/app":             {"internal/authority/audit", "internal/authority/keyring", "internal/storecopy", "internal/userimport", "internal/authority", "internal/metrics", "internal/password", "internal/seal", "internal/server", "internal/store/postgres", "internal/store/sqlite", "internal/tracing", "internal/token"},
		"pawltest":                 {"internal/app", "internal/authority", "internal/password", "internal/seal", "internal/token"},
		"cmd/pawl": {"internal/authority/fault", "api", "client", "internal/token", "internal/app", "internal/authority", "internal/bench", "internal/metrics", "internal/password", "internal/seal", "internal/server",
			"internal/store/sqlite", "internal/storecopy", "internal/tracing", "internal/userimport"},
		"internal/test/apicheck": {"api"},
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
