package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// form sends a form, and returns the status and the body.
func (b *browser) form(path, body string, headers ...string) (*http.Response, string) {
	b.Helper()
	return b.send("POST", path, body, append([]string{"Content-Type: application/x-www-form-urlencoded"}, headers...)...)
}

const inactive = `{"active":false}` + "\n"

// introspect wants a token to be active, or not, for the owner of a key.
func (b *browser) introspect(active bool, text, key string) (got api.Introspection) {
	b.Helper()
	resp, answer := b.form("/oauth2/introspect", url.Values{"token": {text}}.Encode(), "X-API-Key: "+key)
	if err := json.Unmarshal([]byte(answer), &got); err != nil || resp.StatusCode != 200 || got.Active != active || !active && answer != inactive {
		b.Fatalf("introspection: %d %s, want active %v", resp.StatusCode, answer, active)
	}
	return got
}

func (b *browser) revoke(status int, text, key string) {
	b.Helper()
	resp, answer := b.form("/oauth2/revoke", url.Values{"token": {text}, "token_type_hint": {"refresh_token"}}.Encode(), "X-API-Key: "+key)
	if resp.StatusCode != status || status == 200 && answer != "" {
		b.Fatalf("revocation: %d %s, want %d", resp.StatusCode, answer, status)
	}
}

// addUser makes a user with a key.
func (b *browser) addUser(login, level string, network, mailbox int) (key, text string) {
	b.Helper()
	_, answer := b.send("POST", "/v2/users", fmt.Sprintf(`{"login":%q,"email":%q,"password":%q,"authLevel":%q,"networkId":%d,"mailboxId":%d}`,
		login, login, pawltest.Password, level, network, mailbox), b.root())
	var made api.Envelope[api.User]
	if err := json.Unmarshal([]byte(answer), &made); err != nil || !made.Success {
		b.Fatalf("%s: %v", answer, err)
	}
	_, answer = b.send("POST", fmt.Sprintf("/v2/users/key-generate/%d", made.Data.UserID), "", b.root())
	var given api.Envelope[string]
	if err := json.Unmarshal([]byte(answer), &given); err != nil || !given.Success {
		b.Fatalf("%s: %v", answer, err)
	}
	return given.Data, b.expect(200, "", "POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, login, pawltest.Password))
}

func TestIntrospect(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Issuer, c.Audience = "https://auth.example.com", "orders" }))
	old := b.login()
	text := b.refresh(200, old)
	got := b.introspect(true, text, b.APIKey)
	now := b.Clock.Now().Unix()
	want := api.Introspection{Active: true, Subject: "4821", Username: pawltest.Login, TokenType: "Bearer", Issuer: "https://auth.example.com", Audience: "orders",
		IssuedAt: now, Expires: now + 3600, ID: got.SessionID + ".2", SessionID: got.SessionID, AuthLevel: "MailboxAdmin", NetworkID: 1, MailboxID: 101}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	ended := b.login()
	b.expect(200, "", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+ended)
	forged := text[:len(text)-4] + "AAAA"
	for name, bad := range map[string]string{"refreshed": old, "ended": ended, "forged": forged, "no token": "x", "a key": b.APIKey} {
		t.Run(name, func(t *testing.T) { b.introspect(false, bad, b.AdminAPIKey) })
	}
	b.Clock.Add(time.Hour)
	b.introspect(false, text, b.AdminAPIKey) // over
}

// TestWhoMayIntrospect: the token's user and an admin of its place; the others
// cannot tell it from one that is not active.
func TestWhoMayIntrospect(t *testing.T) {
	b := start(t)
	_, text := b.addUser("ada@example.com", "MailboxUser", 1, 102)
	root := b.login()
	for level, want := range map[string]bool{"TechOps": true, "NetOps": true, "NetworkAdmin": true, "NetworkUser": false, "MailboxAdmin": true, "MailboxUser": false, "General": false} {
		key, own := b.addUser(level+"@example.com", level, 1, 102)
		b.introspect(want, text, key)
		b.introspect(true, own, key)
	}
	key, _ := b.addUser("other@example.com", "NetworkAdmin", 2, 102)
	b.introspect(false, text, key)
	b.introspect(false, text, b.APIKey) // an admin of another mailbox
	b.revoke(400, text, b.APIKey)
	b.revoke(400, text, key)
	b.session(200, text)
	low, _ := b.addUser("low@example.com", "MailboxAdmin", 1, 101)
	b.revoke(200, root, low) // of its own level
	b.session(401, root)
	_, high := b.addUser("high@example.com", "NetworkAdmin", 1, 101)
	b.revoke(400, high, low) // of a level above
	b.session(200, high)
}

func TestRevoke(t *testing.T) {
	b := start(t)
	old := b.login()
	text := b.refresh(200, old)
	b.revoke(200, old, b.APIKey) // not the current one: it ends nothing
	b.session(200, text)
	b.revoke(200, "nonsense", b.APIKey)
	b.revoke(200, text, b.APIKey)
	b.session(401, text)
	b.refresh(401, text)
	b.revoke(200, text, b.APIKey)
	b.revoke(200, b.login(), b.AdminAPIKey)
}

// TestRevokeInTheGrace: the token before the current one passes as a bearer for
// a while, but ends nothing.
func TestRevokeInTheGrace(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.BearerGrace = time.Minute }))
	old := b.login()
	text := b.refresh(200, old)
	b.introspect(true, old, b.APIKey)
	b.revoke(200, old, b.APIKey)
	b.session(200, text)
	b.Clock.Add(time.Minute)
	b.introspect(false, old, b.APIKey)
}

// TestOAuthRefuses: errors have the form and the status of RFC 6749, 5.2.
func TestOAuthRefuses(t *testing.T) {
	b := start(t)
	key, text := "X-API-Key: "+b.APIKey, b.login()
	bearer := "Authorization: Bearer " + b.APIKey
	basic := func(password string) string {
		req, _ := http.NewRequest("GET", "/", nil)
		req.SetBasicAuth("anyone", password)
		return "Authorization: " + req.Header.Get("Authorization")
	}
	body := "token=" + text
	for name, test := range map[string]struct {
		status  int
		code    string
		body    string
		headers []string
	}{
		"key":                {200, "", body, []string{key}},
		"bearer":             {200, "", body, []string{bearer}},
		"basic":              {200, "", body, []string{basic(b.APIKey)}},
		"no key":             {401, "invalid_client", body, nil},
		"wrong key":          {401, "invalid_client", body, []string{"X-API-Key: pawl_x"}},
		"wrong password":     {401, "invalid_client", body, []string{basic("x")}},
		"a token for a key":  {401, "invalid_client", body, []string{"Authorization: Bearer " + text}},
		"another scheme":     {401, "invalid_client", body, []string{"Authorization: Digest x"}},
		"two keys":           {400, "invalid_request", body, []string{key, bearer}},
		"no token":           {400, "invalid_request", "token_type_hint=x", []string{key}},
		"token twice":        {400, "invalid_request", body + "&" + body, []string{key}},
		"no form":            {400, "invalid_request", "token=%zz", []string{key}},
		"JSON":               {415, "invalid_request", `{"token":"x"}`, []string{key, "Content-Type: application/json"}},
		"too large":          {413, "invalid_request", "token=" + strings.Repeat("a", api.MaxBodyBytes), []string{key}},
		"refused before all": {401, "invalid_client", strings.Repeat("a", api.MaxBodyBytes+9), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
				if test.status == 200 && path == "/oauth2/revoke" {
					continue
				}
				resp, answer := b.form(path, test.body, test.headers...)
				var refused api.OAuthError
				_ = json.Unmarshal([]byte(answer), &refused)
				if resp.StatusCode != test.status || refused.Code != test.code || resp.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %d %s %v", path, resp.StatusCode, answer, resp.Header)
				}
				if challenges := resp.Header["Www-Authenticate"]; (len(challenges) == 2) != (test.status == 401) {
					t.Errorf("challenges %q", challenges)
				}
			}
		})
	}
	if resp, answer := b.form("/oauth2/token", body, key); resp.StatusCode != 404 || !strings.Contains(answer, `"error":"invalid_request"`) {
		t.Errorf("no such path: %d %s", resp.StatusCode, answer)
	}
	for path, allow := range map[string]string{"/oauth2/introspect": "POST", "/oauth2/revoke": "POST", "/.well-known/jwks.json": "GET, HEAD"} {
		if resp, answer := b.send("PUT", path, ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != allow || !strings.Contains(answer, "invalid_request") {
			t.Errorf("%s: %d %s %v", path, resp.StatusCode, answer, resp.Header)
		}
	}
}

func (b *browser) jwks() (set jose.JSONWebKeySet, text string) {
	b.Helper()
	resp, text := b.send("GET", "/.well-known/jwks.json", "")
	if err := json.Unmarshal([]byte(text), &set); err != nil || resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "public, max-age=150" {
		b.Fatalf("%d %s %v, %v", resp.StatusCode, text, resp.Header, err)
	}
	return set, text
}

// TestJWKS: with what is published, a stranger verifies tokens, the first of a
// new key too; and nothing private is there.
func TestJWKS(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			b := start(t, quickly(alg))
			old := b.login()
			b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.root())
			set, text := b.jwks() // before the new key signs
			if alg == token.HS256 {
				if text != `{"keys":[]}`+"\n" {
					t.Fatalf("published %s", text)
				}
				return
			}
			b.Clock.Add(keyring.DefaultLead)
			b.awaitStates("Signing Verifying")
			fresh := b.login()
			if len(set.Keys) != 2 || signer(t, old) == signer(t, fresh) {
				t.Fatalf("%d keys", len(set.Keys))
			}
			for _, text := range []string{old, fresh} {
				signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := signed.Verify(set); err != nil {
					t.Errorf("a stranger cannot verify: %v", err)
				}
			}
			var fields struct{ Keys []map[string]string }
			if err := json.Unmarshal([]byte(text), &fields); err != nil {
				t.Fatal(err)
			}
			for _, key := range fields.Keys {
				for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
					if key[private] != "" {
						t.Errorf("%s is published", private)
					}
				}
			}
			b.retire(200, "", signer(t, old), true)
			if set, _ := b.jwks(); len(set.Keys) != 1 || set.Keys[0].KeyID != signer(t, fresh) {
				t.Errorf("published %+v", set)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	get := func(b *browser) (m api.ServerMetadata, cache string) {
		resp, text := b.send("GET", "/.well-known/oauth-authorization-server", "")
		if err := json.Unmarshal([]byte(text), &m); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %s: %v", resp.StatusCode, text, err)
		}
		return m, resp.Header.Get("Cache-Control")
	}
	b := start(t)
	if m, cache := get(b); m.Issuer != b.URL || m.JWKS != b.URL+"/.well-known/jwks.json" || m.Introspection != b.URL+"/oauth2/introspect" || cache != "no-store" {
		t.Errorf("%+v, %s", m, cache)
	}
	const public = "https://auth.example.com"
	b = start(t, pawltest.WithConfig(func(c *app.Config) { c.PublicURL = public }))
	if m, cache := get(b); m.Issuer != public || m.Revocation != public+"/oauth2/revoke" || cache != "public, max-age=300" {
		t.Errorf("%+v, %s", m, cache)
	}
	b = start(t, pawltest.WithConfig(func(c *app.Config) { c.Issuer = public }))
	if m, _ := get(b); m.Issuer != public || m.JWKS != b.URL+"/.well-known/jwks.json" {
		t.Errorf("%+v", m)
	}
}
