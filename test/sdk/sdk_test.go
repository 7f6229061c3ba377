// Package sdk_test builds the npm package of sdk/typescript and runs its tests, in Node against a real server and in a
// real browser.
package sdk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/npmtest"
	"github.com/pawlauth/pawl/pawltest"
)

const source = "../../sdk/typescript"

// run runs a program of npm in a folder, and returns its output.
func run(t *testing.T, dir string, env []string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "NO_COLOR=1")...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// build compiles the package in a new folder.
func build(t *testing.T) string {
	t.Helper()
	dir := npmtest.Folder(t, source)
	run(t, dir, nil, "node_modules/.bin/tsc", "-p", "tsconfig.json")
	return dir
}

// TestNode runs the tests of the package with Node's runner.
func TestNode(t *testing.T) {
	dir := build(t)
	server := pawltest.New(t, pawltest.WithAlgorithm("ES256"), realTime, pawltest.WithConfig(func(c *app.Config) {
		c.Policy.ReplayWithoutKey = time.Minute
	}))
	key, err := server.Client(client.WithAPIKey(server.AdminAPIKey)).CreateAPIKey(t.Context(), api.CreateAPIKeyRequest{
		UserID: pawltest.AdminID, Visibility: api.VisibilityPrivate, Scope: api.ScopeVerify,
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, []string{
		"PAWL_URL=" + server.URL, "PAWL_LOGIN=" + pawltest.Login, "PAWL_PASSWORD=" + pawltest.Password,
		"PAWL_API_KEY=" + server.APIKey, "PAWL_VERIFY_KEY=" + key.Key,
	}, "node", "--test", "test/")
}

// TestTypes checks that the types in src/api.ts are those of openapi.yaml.
func TestTypes(t *testing.T) {
	dir := npmtest.Folder(t, source)
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte(api.OpenAPI()), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, nil, "node_modules/.bin/openapi-typescript", "openapi.yaml", "--output", "current.ts")
	want, err := os.ReadFile(filepath.Join(dir, "current.ts"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "src/api.ts"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("src/api.ts is stale (%v); run \"npm run types\" in sdk/typescript", err)
	}
}

// maxBundle is the limit for the core of the package in a browser, minified and compressed.
const maxBundle = 4 << 10

// TestBundle checks the size of the core.
func TestBundle(t *testing.T) {
	dir := build(t)
	run(t, dir, nil, "node_modules/.bin/esbuild", "dist/index.js", "--bundle", "--minify", "--format=esm",
		"--target=es2022", "--outfile=bundle.js")
	text, err := os.ReadFile(filepath.Join(dir, "bundle.js"))
	if err != nil {
		t.Fatal(err)
	}
	var compressed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	_, _ = w.Write(text)
	_ = w.Close()
	if compressed.Len() > maxBundle {
		t.Errorf("the core has %d bytes, at most %d", compressed.Len(), maxBundle)
	}
	t.Logf("the core has %d bytes", compressed.Len())
}

const consumer = `import { createSession, PawlError, type Session, type components } from "@pawl/client";
import { createVerifier, withAuth, type Caller } from "@pawl/client/server";

const session: Session = createSession({ url: "http://127.0.0.1:1", onSignedOut: () => {} });
const user: components["schemas"]["User"] | undefined = undefined;
const verifier = createVerifier({ url: "http://127.0.0.1:1", apiKey: "x" });
export const handler = withAuth(verifier, (_request: Request, caller: Caller) => Response.json(caller.userId));
session.token().catch((e: unknown) => {
  if (!(e instanceof PawlError) || e.errorCode !== "SignedOut" || user) {
    throw e;
  }
  console.log("works");
  session.close();
});
`

// TestPackage packs the package, installs it into a fresh project, and uses it from strict TypeScript.
func TestPackage(t *testing.T) {
	dir := build(t)
	run(t, dir, nil, "npm", "pack", "--ignore-scripts", "--pack-destination", ".")
	project := t.TempDir()
	for name, text := range map[string]string{
		"package.json": `{"type":"module","private":true}`,
		"main.ts":      consumer,
		"tsconfig.json": `{"compilerOptions":{"strict":true,"module":"NodeNext","target":"ES2022",
			"lib":["ES2022","DOM"],"types":[],"outDir":"out"},"files":["main.ts"]}`,
	} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packed := filepath.Join(dir, "pawl-client-0.1.0.tgz")
	run(t, project, nil, "npm", "install", "--no-audit", "--no-fund", packed)
	run(t, project, nil, filepath.Join(dir, "node_modules/.bin/tsc"), "-p", ".")
	if got := run(t, project, nil, "node", "out/main.js"); got != "works\n" {
		t.Errorf("printed %q", got)
	}
}
