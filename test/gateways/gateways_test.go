//go:build linux

// Package gateways_test runs the configurations in examples/gateways with real gateways, between a client, a real Pawl,
// and an API that returns the headers of its requests.
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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

const examples = "../../examples/gateways"

// gateways has the gateways under test. The command runs in a folder with the gateway's files.
var gateways = map[string]struct {
	command []string
	down    int // the status of responses while Pawl is down
}{
	"nginx":   {[]string{"nginx", "-p", ".", "-c", "nginx.conf", "-e", "stderr"}, 503},
	"caddy":   {[]string{"caddy", "run", "--config", "Caddyfile"}, 502},
	"haproxy": {[]string{"haproxy", "-db", "-f", "haproxy.cfg"}, 503},
}

var caller = &http.Client{Timeout: 30 * time.Second}

// nginxFile is a configuration that includes pawl.conf in the context http.
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

// echo starts an API that returns the headers of each request, and returns its address.
func echo(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// start starts a gateway in front of an API, and returns its URL once it listens. The edits are pairs of texts: the
// first one is replaced by the second one in the gateway's files.
func start(t *testing.T, name, pawl, api string, edits ...string) string {
	t.Helper()
	edits = append(edits, "127.0.0.1:8080", pawl, "127.0.0.1:9000", api)
	return startIn(t, filepath.Join(examples, name), name, edits...)
}

// startIn is start with the files of a folder. The configuration listens at 127.0.0.1:8081.
func startIn(t *testing.T, folder, name string, edits ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pawl-gateway-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers run as another user
		t.Fatal(err)
	}
	listen := testbin.FreeAddr(t)
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		edited := string(text)
		for pair := range slices.Chunk(append(edits, "127.0.0.1:8081", listen), 2) { // an edit may add an address
			edited = strings.ReplaceAll(edited, pair[0], pair[1])
		}
		write(t, filepath.Join(dir, filepath.Base(file)), edited)
	}
	write(t, filepath.Join(dir, "nginx.conf"), nginxFile)
	command := gateways[name].command
	program, err := exec.LookPath(command[0])
	if err != nil {
		program = "/usr/sbin/" + command[0] // may be missing from PATH
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is missing; run \"make deps\"", command[0])
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

// get sends a request to the gateway. It returns the status, and the headers of the request that the API received.
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
		t.Errorf("a 401 has no challenge: %v", resp.Header)
	}
	return resp.StatusCode, got
}

// checkStatus fails the test unless the gateway answers to a request with the status want.
func checkStatus(t *testing.T, what, url string, header http.Header, want int) {
	t.Helper()
	if status, _ := get(t, url, header); status != want {
		t.Errorf("%s: %d, want %d", what, status, want)
	}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// TestGateways checks for each gateway that a request with a valid token reaches the API with the user's headers, that
// other requests do not, and that forged headers never reach the API.
func TestGateways(t *testing.T) {
	for name, gateway := range gateways {
		t.Run(name, func(t *testing.T) {
			pawl := pawltest.New(t)
			url := start(t, name, strings.TrimPrefix(pawl.URL, "http://"), echo(t))
			token := checkTokens(t, url, pawl)
			checkForgedHeaders(t, url, pawl.APIKey)
			checkStatus(t, "a valid token", url, bearer(token), 200)
			pawl.Close()
			for _, header := range []http.Header{bearer(token), {"X-Api-Key": {pawl.APIKey}}, {}} {
				checkStatus(t, "a request while Pawl is down", url, header, gateway.down)
			}
			serveUnavailable(t, strings.TrimPrefix(pawl.URL, "http://"))
			checkStatus(t, "a request while Pawl answers 503", url, bearer(token), 503)
		})
	}
}

// checkTokens checks requests with valid, superseded and missing tokens. It returns a valid token.
func checkTokens(t *testing.T, url string, pawl *pawltest.Server) string {
	t.Helper()
	api := pawl.Client()
	old, err := api.Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	status, got := get(t, url, bearer(old.Token))
	if status != 200 {
		t.Fatalf("a valid token: %d, want 200", status)
	}
	checkUserHeaders(t, got, got.Get("X-Auth-Session-Id"))
	if got.Get("X-Auth-Session-Id") == "" {
		t.Error("the API gets no X-Auth-Session-Id")
	}
	fresh, err := api.Refresh(t.Context(), old.Token)
	if err != nil {
		t.Fatal(err)
	}
	checkStatus(t, "a superseded token", url, bearer(old.Token), 401)
	checkStatus(t, "no credentials", url, http.Header{}, 401)
	checkStatus(t, "an empty token", url, bearer(""), 401)
	return fresh.Token
}

// checkForgedHeaders sends forged X-Auth headers in several spellings.
func checkForgedHeaders(t *testing.T, url, apiKey string) {
	t.Helper()
	forged := http.Header{}
	for _, name := range []string{
		"X-Auth-User-Id", "x-auth-user-id", "X_Auth_User_Id", "X-AUTH-LEVEL", "x_auth_level",
		"X-Auth-Session-Id", "X-Auth-Network-Id", "X-Auth-Other",
	} {
		forged[name] = []string{"forged"}
	}
	checkStatus(t, "forged headers without credentials", url, forged, 401)
	forged["X-Api-Key"] = []string{apiKey}
	forged["Connection"] = []string{"X-Auth-User-Id, x-auth-level"} // asks proxies to remove these headers
	status, got := get(t, url, forged)
	if status != 200 {
		t.Fatalf("an API key: %d, want 200", status)
	}
	checkUserHeaders(t, got, "")
	for header, values := range got {
		name := strings.ReplaceAll(strings.ToLower(header), "_", "-")
		isForged := strings.Contains(strings.Join(values, ""), "forged")
		if strings.HasPrefix(name, "x-auth-") && isForged && header != "X-Auth-Other" {
			t.Errorf("the API gets the forged header %s: %v", header, values)
		}
	}
}

// serveUnavailable answers all requests to an address like a Pawl whose store is unreachable.
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

// checkUserHeaders fails the test unless the API has received the headers of the test's user.
func checkUserHeaders(t *testing.T, got http.Header, session string) {
	t.Helper()
	for header, want := range map[string]string{
		"X-Auth-User-Id":    "4821",
		"X-Auth-Login":      pawltest.Login,
		"X-Auth-Session-Id": session,
		"X-Auth-Level":      "MailboxAdmin",
		"X-Auth-Network-Id": "1",
		"X-Auth-Mailbox-Id": "101",
	} {
		if strings.Join(got[header], ",") != want {
			t.Errorf("%s: %q, want %q", header, got[header], want)
		}
	}
}

// TestOtherConfigurations parses the configurations of the gateways that Debian does not package.
func TestOtherConfigurations(t *testing.T) {
	for _, file := range []string{"traefik/dynamic.yml", "envoy/envoy.yaml"} {
		text, err := os.ReadFile(filepath.Join(examples, file))
		var into map[string]any
		if err != nil || yaml.Unmarshal(text, &into) != nil || len(into) == 0 {
			t.Errorf("%s is not a YAML document: %v", file, err)
		}
		if !strings.Contains(string(text), "/forward-auth") {
			t.Errorf("%s does not use /forward-auth", file)
		}
	}
}
