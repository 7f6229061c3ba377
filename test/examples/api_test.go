//go:build unix

package examples_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

const root = "../.." // the directory in which the READMEs' commands run

// TestAPIs runs the commands in the README of each API. The first block of code starts the API. The other blocks come
// in pairs: commands, and their expected output.
func TestAPIs(t *testing.T) {
	need(t, "bash", "curl", "jq")
	binary := testbin.Build(t)
	for name, flags := range map[string][]string{
		"middleware": nil, "gateway": nil, "jwks": {"--algorithm", "ES256"},
		"feed":      {"--algorithm", "ES256"},
		"own-login": {"--token-life", "10m"}, // so short that each page refreshes the token
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			dev := testbin.StartDev(t, binary, data, flags...)
			blocks := codeBlocks(t, filepath.Join(root, "examples/go", name, "README.md"))
			api, gateway := startAPI(t, strings.ReplaceAll(blocks[0], "./pawl-dev", data), dev.Env["PAWL_URL"])
			addresses := strings.NewReplacer("127.0.0.1:9000", api, "127.0.0.1:8081", gateway, "./pawl-dev", data)
			runBlocks(t, addresses, blocks[1:])
		})
	}
}

// runBlocks runs pairs of blocks: commands, and their expected output.
func runBlocks(t *testing.T, addresses *strings.Replacer, blocks []string) {
	t.Helper()
	var commands, want string
	for i, block := range blocks {
		if i%2 == 0 {
			commands += block
		} else {
			want += block
		}
	}
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", addresses.Replace(commands))
	shell.Dir, shell.Stderr = root, t.Output()
	got, err := shell.Output()
	if err != nil || string(got) != want {
		t.Errorf("%v\nprinted:\n%s\nthe README has:\n%s", err, got, want)
	}
}

// codeBlocks returns the blocks of a document that are indented by four spaces.
func codeBlocks(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	inside := false
	for line := range strings.Lines(string(text)) {
		code, ok := strings.CutPrefix(line, "    ")
		switch {
		case ok && inside:
			blocks[len(blocks)-1] += code
		case ok:
			blocks = append(blocks, code)
		}
		inside = ok
	}
	if len(blocks) < 3 || len(blocks)%2 == 0 {
		t.Fatalf("%s has %d blocks of code, want one and then pairs", path, len(blocks))
	}
	return blocks
}

// startAPI runs a command until the end of the test. It returns the addresses of the API and of its gateway, if the
// command starts one, once they answer.
func startAPI(t *testing.T, command, pawl string) (api, gateway string) {
	t.Helper()
	api, gateway = testbin.FreeAddr(t), testbin.FreeAddr(t) // nginx cannot choose a free port itself
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = root
	cmd.Stderr = t.Output()
	cmd.WaitDelay = stopLimit
	cmd.Env = append(os.Environ(), "PAWL_URL="+pawl, "API_ADDR="+api, "GATEWAY_ADDR="+gateway)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // "go run" does not forward SIGTERM
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // an error means that all have exited
		_ = cmd.Wait()
	})
	await(t, api)
	if strings.Contains(command, "gateway") {
		await(t, gateway)
	}
	return api, gateway
}

// await waits until a server rejects a request without credentials.
func await(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(exampleLimit); call(t, address, "") != http.StatusUnauthorized; {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer 401 to a request without credentials", address)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// call returns the status of a request, or 0 without a response.
func call(t *testing.T, address, bearer string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	caller := http.Client{Timeout: startLimit}
	resp, err := caller.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestAPIFollowsKeys rotates the signing key. Without a restart, the API must accept tokens of the new key, and must
// continue to accept tokens of the previous key.
func TestAPIFollowsKeys(t *testing.T) {
	pawl := pawltest.New(t, pawltest.WithAlgorithm("ES256"), pawltest.WithConfig(func(c *app.Config) {
		c.KeyLead = time.Second
		c.KeyReload = 10 * time.Millisecond
		c.Clock = time.Now
	}))
	api, _ := startAPI(t, "go run ./examples/go/jwks", pawl.URL)
	login := func() (text, header string) {
		got, err := pawl.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ = strings.Cut(got.Token, ".")
		return got.Token, header
	}
	old, signer := login()
	if status := call(t, api, old); status != 200 {
		t.Fatalf("a token before the rotation: %d", status)
	}
	if _, err := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey)).RotateSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, signs := login()
	for deadline := time.Now().Add(startLimit); signs == signer; fresh, signs = login() {
		if time.Now().After(deadline) {
			t.Fatal("the new key has not become the signing key")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if status := call(t, api, old); status != 200 {
		t.Errorf("a token of the previous key: %d", status)
	}
	// The API reads the keys at most every 5 s.
	for deadline := time.Now().Add(startLimit); call(t, api, fresh) != 200; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the API rejects a token of the new key")
		}
	}
}
