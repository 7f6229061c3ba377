//go:build linux

package deploy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

const composeDir = top + "/deploy/compose"

// TestComposeFile creates the secrets in a copy of the folder, as an operator would, and checks the file with
// docker-compose. It needs no Docker.
func TestComposeFile(t *testing.T) {
	need(t, "docker-compose")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(composeDir)); err != nil {
		t.Fatal(err)
	}
	bad := exec.Command("/bin/sh", filepath.Join(dir, "secrets.sh"))
	bad.Env = []string{"PATH=" + brokenOpenSSL(t)}
	if out, err := bad.CombinedOutput(); err == nil {
		t.Fatalf("secrets.sh succeeds although openssl fails: %s", out)
	}
	if out, err := exec.Command("sh", filepath.Join(dir, "secrets.sh")).CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	if err := exec.Command("sh", filepath.Join(dir, "secrets.sh")).Run(); err == nil {
		t.Error("secrets.sh overwrites existing secrets")
	}
	cmd := exec.Command("docker-compose", "config")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker-compose config: %v\n%s", err, stderrOf(err))
	}
	for _, name := range []string{"master.key", "db-password", "pgpass"} {
		path := filepath.Join(dir, "secrets", name)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
		secret, _ := os.ReadFile(path)
		if len(secret) < 32 || strings.Contains(string(out), strings.TrimSpace(string(secret))) {
			t.Errorf("%s is too short, or docker-compose config prints it", name)
		}
		if !strings.Contains(string(out), path) {
			t.Errorf("no service uses %s", name)
		}
	}
	if key, _ := os.ReadFile(filepath.Join(dir, "secrets", "master.key")); key != nil {
		if _, err := seal.NewBox(string(key)); err != nil {
			t.Error(err)
		}
	}
}

// brokenOpenSSL returns a PATH with an openssl that fails at its second call.
func brokenOpenSSL(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := []byte("#!/bin/sh\n[ $2 = -base64 ] && echo key\n")
	if err := os.WriteFile(filepath.Join(dir, "openssl"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir + ":/usr/bin:/bin"
}

// TestComposeGateway runs the two Caddyfiles with a real Caddy before three real nodes on one PostgreSQL, and kills the
// nodes one after the other.
func TestComposeGateway(t *testing.T) {
	need(t, "caddy")
	binary := testbin.Build(t)
	cluster := pgtest.Start(t)
	env := []string{"PAWL_STORE=" + cluster.DSN(cluster.Database(t)), "PAWL_MASTER_KEY=" + seal.NewKey()}
	init := exec.Command(binary, "init", "--login", login, "--json")
	init.Env = append(os.Environ(), env...)
	out, err := init.Output()
	var created struct{ Password, APIKey string }
	if err != nil || json.Unmarshal(out, &created) != nil || created.APIKey == "" {
		t.Fatalf("init: %v %s", err, stderrOf(err))
	}
	var nodes []*testbin.Server
	gateway, api := testbin.FreeAddr(t), testbin.FreeAddr(t)
	addresses := []string{"http://:8081", "http://" + gateway, "http://:9000", "http://" + api, "api:9000", api}
	for i := range 3 {
		node := testbin.StartServe(t, binary, env, "--trusted-proxy", "127.0.0.1/32")
		nodes = append(nodes, node)
		addresses = append(addresses, fmt.Sprintf("pawl-%d:8080", i+1), strings.TrimPrefix(node.URL, "http://"))
	}
	caddy(t, "api.Caddyfile", api, addresses)
	caddy(t, "Caddyfile", gateway, addresses)
	url := "http://" + gateway
	for range 3 { // once for each node
		signInAndRefresh(t, url, created.Password)
	}
	c := testbin.Client(t, url)
	token, err := c.Login(t.Context(), login, created.Password)
	if err != nil {
		t.Fatal(err)
	}
	for alive := 3; alive >= 1; alive-- {
		for range 6 {
			status, body := ask(t, url, token.Token, created.APIKey)
			if status != 200 || !strings.HasSuffix(body, ", "+login+"\n") || strings.HasPrefix(body, "user 99,") {
				t.Fatalf("with %d nodes: %d %s", alive, status, body)
			}
		}
		next, err := c.Refresh(t.Context(), token.Token)
		if err != nil {
			t.Fatalf("with %d nodes: %v", alive, err)
		}
		if status, _ := ask(t, url, token.Token, created.APIKey); status != 401 {
			t.Errorf("the superseded token with %d nodes: %d, want 401", alive, status)
		}
		token = next
		nodes[alive-1].Kill()
	}
	if status, _ := ask(t, url, token.Token, created.APIKey); status < 500 {
		t.Errorf("without a node: %d", status)
	}
}

// ask sends the API a token, an API key, and a forged X-Auth-User-Id.
func ask(t *testing.T, url, token, key string) (int, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url+"/anything", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + token}, "X-Api-Key": {key}, "X-Auth-User-Id": {"99"},
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// caddy runs one of the Caddyfiles, with the test's addresses, until the end of the test.
func caddy(t *testing.T, file, addr string, addresses []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(composeDir, file))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Caddyfile"), strings.NewReplacer(addresses...).Replace(string(text)))
	testbin.StartGateway(t, dir, addr, "caddy", "run", "--config", filepath.Join(dir, "Caddyfile"))
}
