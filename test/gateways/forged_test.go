//go:build linux

package gateways_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/fcgi"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

// A folding API receives header names in a form in which different names become one: CGI and its relatives write an
// underscore for a hyphen, PHP also for a dot, and Apache for every character except letters and digits.

// overFastCGI has the edits that make the configuration of a gateway speak FastCGI to the API.
var overFastCGI = map[string][]string{
	"caddy": {"reverse_proxy 127.0.0.1:9000", "reverse_proxy 127.0.0.1:9000 {\ntransport fastcgi\n}"},
	"haproxy": {
		"server api 127.0.0.1:9000", "use-fcgi-app app\n    server api 127.0.0.1:9000 proto fcgi",
		"\nbackend upstream", "\nfcgi-app app\n    docroot /\n\nbackend upstream",
	},
	"nginx": {
		"proxy_set_header X-Auth-User-Id ", "fastcgi_param HTTP_X_AUTH_USER_ID",
		"proxy_set_header X-Auth-Login ", "fastcgi_param HTTP_X_AUTH_LOGIN",
		"proxy_set_header X-Auth-Session-Id", "fastcgi_param HTTP_X_AUTH_SESSION_ID",
		"proxy_set_header X-Auth-Level ", "fastcgi_param HTTP_X_AUTH_LEVEL",
		"proxy_set_header X-Auth-Network-Id", "fastcgi_param HTTP_X_AUTH_NETWORK_ID",
		"proxy_set_header X-Auth-Mailbox-Id", "fastcgi_param HTTP_X_AUTH_MAILBOX_ID",
		"proxy_pass http://api;", "fastcgi_param REQUEST_METHOD $request_method;" +
			"fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_pass api;",
	},
}

// startFastCGI starts an API behind FastCGI that returns its headers, and returns its address.
func startFastCGI(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = fcgi.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(r.Header)
		}))
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return listener.Addr().String()
}

// startWSGI starts an API behind WSGI that returns its headers, and returns its address.
func startWSGI(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("Python is missing; run \"make deps\"")
	}
	script, err := filepath.Abs("wsgi.py")
	if err != nil {
		t.Fatal(err)
	}
	addr := testbin.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	testbin.StartGateway(t, t.TempDir(), addr, python, script, port)
	return addr
}

// TestForgedNames sends each gateway, in front of APIs that fold header names, every mix of separators in the names of
// the X-Auth headers. The API must see only the values of Pawl.
func TestForgedNames(t *testing.T) {
	pawl := pawltest.New(t)
	addr := strings.TrimPrefix(pawl.URL, "http://")
	for name := range gateways {
		t.Run(name+"/HTTP", func(t *testing.T) { checkForgedNames(t, start(t, name, addr, echo(t)), pawl.APIKey) })
		t.Run(name+"/WSGI", func(t *testing.T) { checkForgedNames(t, start(t, name, addr, startWSGI(t)), pawl.APIKey) })
		t.Run(name+"/FastCGI", func(t *testing.T) {
			checkForgedNames(t, start(t, name, addr, startFastCGI(t), overFastCGI[name]...), pawl.APIKey)
		})
	}
	t.Run("compose", func(t *testing.T) {
		url := startIn(t, "../../deploy/compose", "caddy", "http://:8081", "http://127.0.0.1:8081",
			"pawl-1:8080 pawl-2:8080 pawl-3:8080", addr, "api:9000", startWSGI(t))
		checkForgedNames(t, url, pawl.APIKey)
	})
}

// checkForgedNames sends forged headers with a valid API key.
func checkForgedNames(t *testing.T, url, apiKey string) {
	t.Helper()
	forged := forgedNames()
	for len(forged) > 0 { // in several requests, because gateways limit the number of headers
		n := min(len(forged), 60)
		header := http.Header{"X-Api-Key": {apiKey}}
		for _, name := range forged[:n] {
			header[name] = []string{"forged " + name}
		}
		forged = forged[n:]
		status, got := get(t, url, header)
		if status != 200 {
			t.Fatalf("an API key with forged headers: %d, want 200", status)
		}
		checkFolded(t, got)
	}
}

// forgedNames returns spellings of the X-Auth headers.
func forgedNames() []string {
	var spellings []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[http.CanonicalHeaderKey(name)] {
			seen[http.CanonicalHeaderKey(name)] = true
			spellings = append(spellings, name)
		}
	}
	mix := []string{"-", "_", ".", ""}
	for _, first := range mix {
		for _, second := range mix {
			add("X" + first + "Auth" + second + "Level")
			add("x" + first + "auth" + second + "login")
			for _, third := range mix {
				add("X" + first + "Auth" + second + "User" + third + "Id")
				add("x" + first + "auth" + second + "session" + third + "id")
				add("X" + first + "AUTH" + second + "NETWORK" + third + "ID")
				add("X" + first + "Auth" + second + "Mailbox" + third + "Id")
			}
		}
	}
	for _, other := range "!#$%&'*+^`|~" { // the other characters of a field name (RFC 9110, 5.6.2)
		names := []string{"X%cAuth-Level", "X-Auth%cLevel", "X%cAuth%cLevel", "X-Auth-User%cId", "X%cAuth_User.Id"}
		for _, name := range names {
			add(strings.ReplaceAll(name, "%c", string(other)))
		}
	}
	for _, separators := range []string{"--", "__", "-_", "_-", "._", "-."} {
		add("X" + separators + "Auth-Level")
		add("X-Auth" + separators + "Level")
	}
	return spellings
}

// checkFolded fails the test if one of the user's headers has another value than Pawl's after its name was folded.
func checkFolded(t *testing.T, got http.Header) {
	t.Helper()
	want := map[string]string{
		"X_AUTH_USER_ID": "4821", "X_AUTH_LOGIN": pawltest.Login, "X_AUTH_SESSION_ID": "",
		"X_AUTH_LEVEL": "MailboxAdmin", "X_AUTH_NETWORK_ID": "1", "X_AUTH_MAILBOX_ID": "101",
	}
	seen := map[string]string{}
	for name, values := range got {
		folded := strings.Map(fold, name)
		if value, ok := want[folded]; ok {
			seen[folded] += fmt.Sprint(values)
			if strings.Join(values, ",") != value {
				t.Errorf("the API gets %s: %q", name, values)
			}
		}
	}
	if seen["X_AUTH_USER_ID"] != "[4821]" {
		t.Errorf("the API gets the user's id as %q", seen["X_AUTH_USER_ID"])
	}
}

// fold turns a letter to upper case, and every character except letters and digits into an underscore.
func fold(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z':
		return r - 'a' + 'A'
	case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return r
	}
	return '_'
}
