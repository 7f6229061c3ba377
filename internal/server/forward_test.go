package server_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pawlauth/pawl/pawltest"
)

var authHeaders = []string{"X-Auth-User-Id", "X-Auth-Login", "X-Auth-Session-Id", "X-Auth-Level", "X-Auth-Network-Id", "X-Auth-Mailbox-Id"}

// TestForwardAuth: whatever the method and the path below it, the answer is
// exactly 200, 401 or 403, has no body, and names the caller with a 200 alone.
func TestForwardAuth(t *testing.T) {
	b := start(t)
	old := b.login()
	token := b.refresh(200, old)
	ended := b.login()
	b.expect(200, "", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+ended)
	bearer := "Authorization: Bearer " + token
	for _, c := range []struct {
		name, query string
		headers     []string
		want        int
	}{
		{"a token", "", []string{bearer}, 200},
		{"a key", "", []string{"X-API-Key: " + b.APIKey}, 200},
		{"both", "", []string{bearer, "X-API-Key: " + b.APIKey}, 200},
		{"nothing", "", nil, 401},
		{"forged headers alone", "", []string{"X-Auth-User-Id: 1", "X-Auth-Level: Root"}, 401},
		{"an old token", "", []string{"Authorization: Bearer " + old}, 401},
		{"a token of an ended session", "", []string{"Authorization: Bearer " + ended}, 401},
		{"a token beside a wrong key", "", []string{bearer, "X-API-Key: wrong"}, 401},
		{"another scheme", "", []string{"Authorization: Basic eDp5"}, 401},
		{"their level", "?level=MailboxAdmin", []string{bearer}, 200},
		{"a level above", "?level=NetworkAdmin", []string{bearer}, 403},
		{"a level that the client adds", "?level=NetworkAdmin&level=General", []string{bearer}, 403},
		{"a level that is none", "?level=root", []string{bearer}, 403},
		{"a level above, the name in upper case", "?LEVEL=NetworkAdmin", []string{bearer}, 403},
		{"a level above, escaped", "?l%65vel=Network%41dmin", []string{bearer}, 403},
		{"a level in a broken escape", "?level=MailboxAdm%in", []string{bearer}, 403},
		{"a level before a semicolon", "?level=MailboxAdmin;network=7", []string{bearer}, 403},
		{"a query of the client's", "?a;b&c=%zz&=&level", []string{bearer}, 403},
		{"a query of the client's that wants nothing", "?a;b&c=%zz&=&&d=e=f", []string{bearer}, 200},
		{"their network", "?network=1", []string{bearer}, 200},
		{"another network", "?network=7", []string{bearer}, 403},
		{"another network, for who has every one", "?network=7", []string{"X-API-Key: " + b.AdminAPIKey}, 200},
		{"a network that is none", "?network=x", []string{bearer}, 403},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"} {
			for _, path := range []string{"/forward-auth", "/forward-auth/", "/forward-auth/a//b/../%2e%2e/ü"} {
				resp, body := b.send(method, path+c.query, "", c.headers...)
				if resp.StatusCode != c.want || body != "" || resp.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %s %s: %d %q %v, want %d", c.name, method, path, resp.StatusCode, body, resp.Header, c.want)
				}
				for _, name := range authHeaders {
					if _, there := resp.Header[name]; there != (c.want == 200) {
						t.Errorf("%s: %s is there: %v", c.name, name, there)
					}
				}
				if (resp.Header.Get("WWW-Authenticate") != "") != (c.want == 401) {
					t.Errorf("%s: WWW-Authenticate: %q", c.name, resp.Header.Get("WWW-Authenticate"))
				}
			}
		}
	}
}

// TestForwardAuthNamesTheCaller: every header has its value, an empty one where
// it is not known, and none breaks the header.
func TestForwardAuthNamesTheCaller(t *testing.T) {
	b := start(t)
	login := `{"login":"jürgen%20 x@example.com","password":"C0rrect$horse","email":"a@example.com"}`
	b.expect(200, "", "POST", "/v2/users", login, "X-API-Key: "+b.AdminAPIKey)
	token := b.expect(200, "", "POST", "/v2/auth/login", login)
	named := func(header string) http.Header {
		resp, _ := b.send("GET", "/forward-auth", "", header)
		return resp.Header
	}
	byToken, byKey := named("Authorization: Bearer "+token), named("X-API-Key: "+b.APIKey)
	if got := byToken.Get("X-Auth-Login"); got != "j%C3%BCrgen%2520%20x@example.com" {
		t.Errorf("X-Auth-Login: %q", got)
	}
	if byToken.Get("X-Auth-Session-Id") == "" || byKey.Get("X-Auth-Session-Id") != "" {
		t.Errorf("X-Auth-Session-Id: %q for a token, %q for a key", byToken.Get("X-Auth-Session-Id"), byKey.Get("X-Auth-Session-Id"))
	}
	got := ""
	for _, name := range authHeaders {
		got += byKey.Get(name) + " "
	}
	if want := fmt.Sprintf("%d %s  MailboxAdmin 1 101 ", pawltest.UserID, pawltest.Login); got != want {
		t.Errorf("a key: %q, want %q", got, want)
	}
}
