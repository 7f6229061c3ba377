package server_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pawlauth/pawl/pawltest"
)

var authHeaders = []string{
	"X-Auth-User-Id", "X-Auth-Login", "X-Auth-Session-Id", "X-Auth-Level", "X-Auth-Network-Id", "X-Auth-Mailbox-Id",
}

// TestForwardAuth checks that the response is 200, 401 or 403 without a body for every method and every path below, and
// that only a 200 names the caller.
func TestForwardAuth(t *testing.T) {
	b := start(t)
	superseded := b.login()
	token := bearer(b.refresh(200, superseded))
	ended := b.login()
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(ended))
	check := func(want int, name, query string, headers ...string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"} {
			for _, path := range []string{"/forward-auth", "/forward-auth/", "/forward-auth/a//b/../%2e%2e/ü"} {
				resp, body := b.send(method, path+query, "", headers...)
				h := resp.Header
				if resp.StatusCode != want || body != "" || h.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %s %s: %d %q %v, want %d", name, method, path, resp.StatusCode, body, h, want)
				}
				for _, header := range authHeaders {
					if _, set := h[header]; set != (want == 200) {
						t.Errorf("%s: %s is set: %v", name, header, set)
					}
				}
				if challenge := h.Get("WWW-Authenticate"); (challenge != "") != (want == 401) {
					t.Errorf("%s: WWW-Authenticate: %q", name, challenge)
				}
			}
		}
	}
	check(200, "a token", "", token)
	check(200, "an API key", "", apiKey(b.APIKey))
	check(200, "both", "", token, apiKey(b.APIKey))
	check(401, "no credentials", "")
	check(401, "only forged headers", "", "X-Auth-User-Id: 1", "X-Auth-Level: Root")
	check(401, "a superseded token", "", bearer(superseded))
	check(401, "a token of an ended session", "", bearer(ended))
	check(401, "a token with a wrong API key", "", token, apiKey("wrong"))
	check(401, "another scheme", "", "Authorization: Basic eDp5")
	check(200, "the caller's level", "?level=MailboxAdmin", token)
	check(403, "a higher level", "?level=NetworkAdmin", token)
	check(403, "a second level of the client", "?level=NetworkAdmin&level=General", token)
	check(403, "an unknown level", "?level=root", token)
	check(403, "a higher level with an upper-case name", "?LEVEL=NetworkAdmin", token)
	check(403, "a higher level, escaped", "?l%65vel=Network%41dmin", token)
	check(403, "a level with a malformed escape", "?level=MailboxAdm%in", token)
	check(403, "a level before a semicolon", "?level=MailboxAdmin;network=7", token)
	check(403, "a client's query with an empty level", "?a;b&c=%zz&=&level", token)
	check(200, "a client's query without requirements", "?a;b&c=%zz&=&&d=e=f", token)
	check(200, "the caller's network", "?network=1", token)
	check(403, "another network", "?network=7", token)
	check(200, "another network for a level that covers all", "?network=7", b.admin())
	check(403, "an invalid network", "?network=x", token)
}

// TestForwardAuthHeaders checks that a 200 sets every header, with an empty value for an unknown one, and that no value
// breaks the header.
func TestForwardAuthHeaders(t *testing.T) {
	b := start(t)
	login := `{"login":"jürgen%20 x@example.com","password":"C0rrect$horse","email":"a@example.com"}`
	b.expect(200, "", "POST", "/v2/users", login, b.admin())
	token := b.expect(200, "", "POST", "/v2/auth/login", login)
	headers := func(credentials string) http.Header {
		resp, _ := b.send("GET", "/forward-auth", "", credentials)
		return resp.Header
	}
	byToken, byKey := headers(bearer(token)), headers(apiKey(b.APIKey))
	if got := byToken.Get("X-Auth-Login"); got != "j%C3%BCrgen%2520%20x@example.com" {
		t.Errorf("X-Auth-Login: %q", got)
	}
	const sessionID = "X-Auth-Session-Id"
	if byToken.Get(sessionID) == "" || byKey.Get(sessionID) != "" {
		t.Errorf("%s: %q for a token, %q for an API key", sessionID, byToken.Get(sessionID), byKey.Get(sessionID))
	}
	got := ""
	for _, name := range authHeaders {
		got += byKey.Get(name) + " "
	}
	if want := fmt.Sprintf("%d %s  MailboxAdmin 1 101 ", pawltest.UserID, pawltest.Login); got != want {
		t.Errorf("an API key: %q, want %q", got, want)
	}
}
