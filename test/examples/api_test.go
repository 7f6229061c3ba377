//go:build unix

package examples_test

import (
	"net"
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

const root = "../.." // where the READMEs' commands are run

// TestAPIs runs what the README of each API says: its first block starts the
// API, and of those that follow each second one is what the one before prints.
func TestAPIs(t *testing.T) {
	need(t, "bash", "curl", "jq")
	binary := testbin.Build(t)
	for name, flags := range map[string][]string{"middleware": nil, "gateway": nil, "jwks": {"--algorithm", "ES256"}} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			dev := testbin.StartDev(t, binary, data, flags...)
			blocks := codeBlocks(t, filepath.Join(root, "examples/go", name, "README.md"))
			api, gateway := startAPI(t, blocks[0], dev.Env["PAWL_URL"])
			var commands, want string
			for i, block := range blocks[1:] {
				if i%2 == 0 {
					commands += block
				} else {
					want += block
				}
			}
			commands = strings.NewReplacer("127.0.0.1:9000", api, "127.0.0.1:8081", gateway, "./pawl-dev", data).Replace(commands)
			shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
			shell.Dir, shell.Stderr = root, t.Output()
			got, err := shell.Output()
			if err != nil || string(got) != want {
				t.Errorf("%v\nprinted:\n%s\nthe README says:\n%s", err, got, want)
			}
		})
	}
}

// codeBlocks is what a document has four spaces in front of, block by block.
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
		t.Fatalf("%s has %d blocks of code: one that starts it, then pairs", path, len(blocks))
	}
	return blocks
}

// startAPI runs a command until the test ends, and returns where the API is,
// and the gateway before it if there is one, when they answer.
func startAPI(t *testing.T, command, pawl string) (api, gateway string) {
	t.Helper()
	addresses := freeAddresses(t, 2)
	api, gateway = addresses[0], addresses[1]
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir, cmd.Stderr, cmd.WaitDelay = root, t.Output(), stopLimit
	cmd.Env = append(os.Environ(), "PAWL_URL="+pawl, "API_ADDR="+api, "GATEWAY_ADDR="+gateway)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // "go run" does not pass SIGTERM on
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // an error says that all have ended
		_ = cmd.Wait()
	})
	await(t, api)
	if strings.Contains(command, "gateway") {
		await(t, gateway)
	}
	return api, gateway
}

// await returns when a server refuses a request without credentials.
func await(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(exampleLimit); call(t, address, "") != http.StatusUnauthorized; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer 401", address)
		}
	}
}

// call returns the status of a request; 0 if there is no answer.
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

// freeAddresses are some that were free a moment ago: nginx does not tell its port.
func freeAddresses(t *testing.T, n int) (free []string) {
	t.Helper()
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() // when all are there, so that they differ
		free = append(free, listener.Addr().String())
	}
	return free
}

// TestAPIFollowsKeys: after a rotation of the signing key, tokens of the new one
// pass without a restart of the API, and those of the old one do on.
func TestAPIFollowsKeys(t *testing.T) {
	pawl := pawltest.New(t, pawltest.WithAlgorithm("ES256"), pawltest.WithConfig(func(c *app.Config) {
		c.KeyLead, c.KeyReload, c.Clock = time.Second, 10*time.Millisecond, time.Now
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
		t.Fatalf("before the rotation: %d", status)
	}
	if _, err := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey)).RotateSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, signs := login()
	for deadline := time.Now().Add(startLimit); signs == signer; fresh, signs = login() {
		if time.Now().After(deadline) {
			t.Fatal("the new key does not sign")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if status := call(t, api, old); status != 200 {
		t.Errorf("the old key: %d", status)
	}
	// The API may have read the keys a moment ago; it reads them again within 5 s.
	for deadline := time.Now().Add(startLimit); call(t, api, fresh) != 200; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a token of the new key does not pass")
		}
	}
}
