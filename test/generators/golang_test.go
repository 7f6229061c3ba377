package generators_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

// kept is the output of a client that has kept a session from its login to its logout.
const kept = `login: 4821
refresh: true
session: jsmith@example.com MailboxAdmin
list: 1 true
logout: Session terminated.
session: InvalidSession
`

// TestGoGenerators generates a client with each Go generator, compiles it, and runs it on a live server.
func TestGoGenerators(t *testing.T) {
	dir := goFolder(t)
	for name, generate := range map[string][]string{
		"oapicodegen": {"../bin/oapi-codegen", "-config", "config.yaml", "../openapi.yaml"},
		"ogen": {"../bin/ogen", "--config", "config.yaml", "--target", "generated", "--package", "generated",
			"../openapi.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(dir, name)
			if err := os.Mkdir(filepath.Join(folder, "generated"), 0o700); err != nil {
				t.Fatal(err)
			}
			run(t, folder, nil, generate...)
			server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
			if got := run(t, folder, server, "go", "run", "-trimpath", "."); got != kept {
				t.Errorf("printed:\n%s\nwant:\n%s", got, kept)
			}
		})
	}
}

// goFolder returns a copy of the folder golang with the current openapi.yaml, and with the generators in bin. The test
// is skipped if the modules cannot be downloaded.
func goFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("golang")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte(api.OpenAPI()), 0o600); err != nil {
		t.Fatal(err)
	}
	testbin.InModule(t, dir, "build", "-trimpath", "-o", "bin/", "tool")
	return dir
}
