//go:build linux

// Package gateways_test runs the configurations in examples/gateways with the
// real gateways, before a real Pawl and an API that tells what it got.
package gateways_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

const examples = "../../examples/gateways"

// gateways are those that are run: the command, in a folder with the files, and
// what it answers while Pawl is down.
var gateways = map[string]struct {
	command []string
	down    int
}{
	"nginx":   {[]string{"nginx", "-p", ".", "-c", "nginx.conf", "-e", "stderr"}, 503},
	"caddy":   {[]string{"caddy", "run", "--config", "Caddyfile"}, 502},
	"haproxy": {[]string{"haproxy", "-db", "-f", "haproxy.cfg"}, 503},
}

// caller gives up rather than hang.
var caller = &http.Client{Timeout: 30 * time.Second}

// nginxFile is what goes around pawl.conf, which belongs into http.
const nginxFile = `daemon off;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include pawl.conf;
}
`

// echo is an API that answers with the headers that it got.
func echo(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// start runs a gateway and returns its URL when it answers.
func start(t *testing.T, name, pawl string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pawl-gateway-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers are nobody
		t.Fatal(err)
	}
	listen := testbin.FreeAddr(t)
	places := strings.NewReplacer("127.0.0.1:8081", listen, "127.0.0.1:8080", pawl, "127.0.0.1:9000", echo(t))
	files, err := filepath.Glob(filepath.Join(examples, name, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.Base(file)), places.Replace(string(text)))
	}
	write(t, filepath.Join(dir, "nginx.conf"), nginxFile)
	command := gateways[name].command
	program, err := exec.LookPath(command[0])
	if err != nil {
		program = "/usr/sbin/" + command[0] // not on every user's PATH
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is not here: run \"make deps\"", command[0])
	}
	testbin.StartGateway(t, dir, listen, program, command[1:]...)
	return "http://" + listen
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// get asks the gateway, and returns the status and what the API got.
func get(t *testing.T, url string, header http.Header) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequest("POST", url+"/some/path?level=General", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := caller.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := http.Header{}
	if resp.StatusCode == 200 {
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode == 401 && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("a 401 without a challenge: %v", resp.Header)
	}
	return resp.StatusCode, got
}

// TestGateways holds each gateway to what Pawl promises: a good token passes
// and is named, a dead one does not, and nothing that a client forged does.
func TestGateways(t *testing.T) {
	for name := range gateways {
		t.Run(name, func(t *testing.T) {
			pawl := pawltest.New(t)
			url := start(t, name, strings.TrimPrefix(pawl.URL, "http://"))
			api := pawl.Client()
			old, err := api.Login(t.Context(), pawltest.Login, pawltest.Password)
			if err != nil {
				t.Fatal(err)
			}
			bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
			status, got := get(t, url, bearer(old.Token))
			if status != 200 {
				t.Fatalf("a good token: %d", status)
			}
			named(t, got, got.Get("X-Auth-Session-Id"))
			if got.Get("X-Auth-Session-Id") == "" {
				t.Error("a session has no name")
			}
			fresh, err := api.Refresh(t.Context(), old.Token)
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := get(t, url, bearer(old.Token)); status != 401 {
				t.Errorf("a token dead for a moment: %d", status)
			}
			if status, _ := get(t, url, http.Header{}); status != 401 {
				t.Errorf("no credentials: %d", status)
			}
			if status, _ := get(t, url, bearer("")); status != 401 {
				t.Errorf("an empty token: %d", status)
			}
			forged := http.Header{}
			for _, form := range []string{"X-Auth-User-Id", "x-auth-user-id", "X_Auth_User_Id", "X-AUTH-LEVEL", "X-Auth-Session-Id", "X-Auth-Network-Id", "X-Auth-Other", "x_auth_level"} {
				forged[form] = []string{"forged"}
			}
			if status, _ := get(t, url, forged); status != 401 {
				t.Errorf("forged headers alone: %d", status)
			}
			forged["X-Api-Key"] = []string{pawl.APIKey}
			forged["Connection"] = []string{"X-Auth-User-Id, x-auth-level"} // would have a proxy drop them
			status, got = get(t, url, forged)
			if status != 200 {
				t.Fatalf("a key: %d", status)
			}
			named(t, got, "")
			for header, values := range got {
				if strings.HasPrefix(strings.NewReplacer("_", "-").Replace(strings.ToLower(header)), "x-auth-") && strings.Contains(strings.Join(values, ""), "forged") && header != "X-Auth-Other" {
					t.Errorf("%s: %v came through", header, values)
				}
			}
			if status, _ := get(t, url, bearer(fresh.Token)); status != 200 {
				t.Errorf("the new token: %d", status)
			}
			pawl.Close()
			for _, header := range []http.Header{bearer(fresh.Token), {"X-Api-Key": {pawl.APIKey}}, {}} {
				if status, _ := get(t, url, header); status != gateways[name].down {
					t.Errorf("while Pawl is down: %d, want %d", status, gateways[name].down)
				}
			}
			serveUnavailable(t, strings.TrimPrefix(pawl.URL, "http://"))
			if status, _ := get(t, url, bearer(fresh.Token)); status != 503 {
				t.Errorf("while Pawl answers 503: %d", status)
			}
		})
	}
}

// serveUnavailable answers at that address as a Pawl does whose store is away.
func serveUnavailable(t *testing.T, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
}

// named holds the headers that the API got to the user of the tests.
func named(t *testing.T, got http.Header, session string) {
	t.Helper()
	for header, want := range map[string]string{"X-Auth-User-Id": "4821", "X-Auth-Login": pawltest.Login, "X-Auth-Session-Id": session,
		"X-Auth-Level": "MailboxAdmin", "X-Auth-Network-Id": "1", "X-Auth-Mailbox-Id": "101"} {
		if strings.Join(got[header], ",") != want {
			t.Errorf("%s: %q, want %q", header, got[header], want)
		}
	}
}

// TestOthersAreYAML reads the configurations of the gateways that Debian lacks.
func TestOthersAreYAML(t *testing.T) {
	for _, file := range []string{"traefik/dynamic.yml", "envoy/envoy.yaml"} {
		text, err := os.ReadFile(filepath.Join(examples, file))
		var into map[string]any
		if err != nil || yaml.Unmarshal(text, &into) != nil || len(into) == 0 || !strings.Contains(string(text), "/forward-auth") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
