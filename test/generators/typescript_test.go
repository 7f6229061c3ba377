package generators_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/internal/test/npmtest"
	"github.com/pawlauth/pawl/pawltest"
)

// TestTypeScriptGenerators generates a client with each TypeScript generator, compiles the clients with a script for
// each, and runs the scripts on a live server.
func TestTypeScriptGenerators(t *testing.T) {
	dir := npmtest.Folder(t, "npm")
	server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte(api.OpenAPI()), 0o600); err != nil {
		t.Fatal(err)
	}
	npm := func(tool string, args ...string) {
		run(t, dir, server, append([]string{"node_modules/.bin/" + tool}, args...)...)
	}
	npm("openapi-typescript", "openapi.yaml", "--output", "generated/openapi-typescript.d.ts")
	npm("orval", "--config", "orval.config.mjs")
	npm("openapi-ts", "--file", "hey-api.config.mjs")
	npm("tsc")
	for _, name := range []string{"openapi-typescript", "orval", "hey-api"} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, dir, server, "node", "out/"+name+".js"); got != kept {
				t.Errorf("printed:\n%s\nwant:\n%s", got, kept)
			}
		})
	}
}
