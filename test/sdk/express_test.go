package sdk_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

// TestExpressExample runs examples/node/api.mjs. It must accept a token, reject it soon after a refresh, and end after
// SIGTERM.
func TestExpressExample(t *testing.T) {
	dir := build(t) // a module in the folder of a package can import the package by its name
	text, err := os.ReadFile("../../examples/node/api.mjs")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "api.mjs"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	server := pawltest.New(t, pawltest.WithAlgorithm("ES256"), realTime)
	pawl := server.Client(client.WithAPIKey(server.AdminAPIKey))
	key, err := pawl.CreateAPIKey(t.Context(), api.CreateAPIKeyRequest{
		UserID: pawltest.AdminID, Visibility: api.VisibilityPrivate, Scope: api.ScopeVerify,
	})
	if err != nil {
		t.Fatal(err)
	}
	address := testbin.FreeAddr(t)
	cmd := exec.Command("node", "api.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PAWL_URL="+server.URL, "PAWL_API_KEY="+key.Key, "API_ADDR="+address)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // an error means that it has exited

	old, err := pawl.Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, address, old.Token, 200, "hello user 4821, MailboxAdmin\n")
	if _, err := pawl.Refresh(t.Context(), old.Token); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, address, old.Token, 401, "")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	http.DefaultClient.CloseIdleConnections()
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// awaitAnswer sends requests with a token until the status of the answer is as wanted. It then checks the body, unless
// the wanted one is empty.
func awaitAnswer(t *testing.T, address, token string, status int, body string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == status {
				if body != "" && string(text) != body {
					t.Errorf("the body is %q, want %q", text, body)
				}
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %d within a minute: %v", status, err)
		}
	}
}
