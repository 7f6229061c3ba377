package server_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// form sends a form, and returns the response and its body.
func (b *browser) form(path, body string, headers ...string) (*http.Response, string) {
	b.Helper()
	headers = append([]string{"Content-Type: application/x-www-form-urlencoded"}, headers...)
	return b.send("POST", path, body, headers...)
}

const inactive = `{"active":false}` + "\n"

// introspect checks whether a token is active for the owner of an API key.
func (b *browser) introspect(active bool, text, key string) (got api.Introspection) {
	b.Helper()
	resp, body := b.form("/oauth2/introspect", url.Values{"token": {text}}.Encode(), apiKey(key))
	err := json.Unmarshal([]byte(body), &got)
	if err != nil || resp.StatusCode != 200 || got.Active != active || !active && body != inactive {
		b.Fatalf("introspection: %d %s, want active %v", resp.StatusCode, body, active)
	}
	return got
}

// revoke checks the status of the revocation of a token by the owner of an API key.
func (b *browser) revoke(status int, text, key string) {
	b.Helper()
	form := url.Values{"token": {text}, "token_type_hint": {"refresh_token"}}
	resp, body := b.form("/oauth2/revoke", form.Encode(), apiKey(key))
	if resp.StatusCode != status || status == 200 && body != "" {
		b.Fatalf("revocation: %d %s, want %d", resp.StatusCode, body, status)
	}
}

// TestIntrospect checks every field of an active token, and that other tokens are not active.
func TestIntrospect(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) {
		c.Issuer = "https://auth.example.com"
		c.Audience = "orders"
	}))
	superseded := b.login()
	text := b.refresh(200, superseded)
	got := b.introspect(true, text, b.APIKey)
	now := b.Clock.Now().Unix()
	want := api.Introspection{
		Active: true, Subject: "4821", Username: pawltest.Login, TokenType: "Bearer",
		Issuer: "https://auth.example.com", Audience: "orders", IssuedAt: now, Expires: now + 3600,
		ID: got.SessionID + ".2", SessionID: got.SessionID,
		AuthLevel: "MailboxAdmin", NetworkID: 1, MailboxID: 101,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	ended := b.login()
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(ended))
	for name, bad := range map[string]string{
		"superseded": superseded, "ended": ended, "forged": text[:len(text)-4] + "AAAA", "not a token": "x",
		"an API key": b.APIKey,
	} {
		t.Run(name, func(t *testing.T) { b.introspect(false, bad, b.AdminAPIKey) })
	}
	b.Clock.Add(time.Hour)
	b.introspect(false, text, b.AdminAPIKey) // it has expired
}

// TestIntrospectionRights checks that only the token's user and that user's admins may introspect or revoke a token. To
// other callers, the token looks like an inactive one.
func TestIntrospectionRights(t *testing.T) {
	b := start(t)
	_, text := b.addUser("ada@example.com", "MailboxUser", 1, 102)
	ofUser := b.login()
	for level, want := range map[string]bool{
		"TechOps": true, "NetOps": true, "NetworkAdmin": true, "NetworkUser": false, "MailboxAdmin": true,
		"MailboxUser": false, "General": false,
	} {
		key, own := b.addUser(level+"@example.com", level, 1, 102)
		b.introspect(want, text, key)
		b.introspect(true, own, key)
	}
	otherNetwork, _ := b.addUser("other@example.com", "NetworkAdmin", 2, 102)
	b.introspect(false, text, otherNetwork)
	b.introspect(false, text, b.APIKey) // an admin of another mailbox
	b.revoke(400, text, b.APIKey)
	b.revoke(400, text, otherNetwork)
	b.session(200, text)
	peer, _ := b.addUser("low@example.com", "MailboxAdmin", 1, 101)
	b.revoke(200, ofUser, peer)
	b.session(401, ofUser)
	_, higher := b.addUser("high@example.com", "NetworkAdmin", 1, 101)
	b.revoke(400, higher, peer)
	b.session(200, higher)
}

// TestRevoke checks that only a current token ends its session, and that the response is the same for every token.
func TestRevoke(t *testing.T) {
	b := start(t)
	superseded := b.login()
	text := b.refresh(200, superseded)
	b.revoke(200, superseded, b.APIKey)
	b.session(200, text)
	b.revoke(200, "nonsense", b.APIKey)
	b.revoke(200, text, b.APIKey)
	b.session(401, text)
	b.refresh(401, text)
	b.revoke(200, text, b.APIKey)
	b.revoke(200, b.login(), b.AdminAPIKey)
}

// TestRevokeDuringGrace checks that a superseded token is active during its grace, but cannot end its session.
func TestRevokeDuringGrace(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.BearerGrace = time.Minute }))
	superseded := b.login()
	text := b.refresh(200, superseded)
	b.introspect(true, superseded, b.APIKey)
	b.revoke(200, superseded, b.APIKey)
	b.session(200, text)
	b.Clock.Add(time.Minute)
	b.introspect(false, superseded, b.APIKey)
}

// oauth checks the status and the error code of introspection and revocation. Both must be RFC 6749's (5.2). It leaves
// out a revocation that would succeed.
func (b *browser) oauth(status int, code, name, body string, headers ...string) {
	b.Helper()
	for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
		if status == 200 && path == "/oauth2/revoke" {
			continue
		}
		resp, text := b.form(path, body, headers...)
		var got api.OAuthError
		_ = json.Unmarshal([]byte(text), &got)
		if resp.StatusCode != status || got.Code != code || resp.Header.Get("Cache-Control") != "no-store" {
			b.Errorf("%s: %s: %d %s %v", name, path, resp.StatusCode, text, resp.Header)
		}
		if challenges := resp.Header["Www-Authenticate"]; (len(challenges) == 2) != (status == 401) {
			b.Errorf("%s: challenges %q", name, challenges)
		}
	}
}

// TestNoPasswordPrompt checks that a page cannot make its browser show a prompt for a password.
func TestNoPasswordPrompt(t *testing.T) {
	b := start(t)
	fromPage := []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-site", "Origin: " + otherOrigin}
	for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
		resp, text := b.form(path, "token=x", fromPage...)
		if got := resp.Header["Www-Authenticate"]; resp.StatusCode != 401 || len(got) != 1 || got[0][:6] != "Bearer" {
			t.Errorf("%s: %d %s, challenges %q", path, resp.StatusCode, text, got)
		}
		resp, _ = b.form(path, "token=x", append(fromPage, basic("x"))...) // RFC 6749, 5.2: the scheme of the request
		if got := resp.Header["Www-Authenticate"]; len(got) != 2 {
			t.Errorf("%s with Basic: challenges %q", path, got)
		}
	}
}

func basic(password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("anyone:"+password))
}

// TestOAuthClientAuthentication checks each form of an API key, and that a request has exactly one.
func TestOAuthClientAuthentication(t *testing.T) {
	b := start(t)
	text := b.login()
	body, secret := "token="+text, "&client_secret="+b.APIKey
	b.oauth(200, "", "an API key", body, apiKey(b.APIKey))
	b.oauth(200, "", "a Bearer API key", body, bearer(b.APIKey))
	b.oauth(200, "", "Basic", body, basic(b.APIKey))
	b.oauth(200, "", "Basic, encoded as in a form", body, basic(strings.ReplaceAll(b.APIKey, "_", "%5F")))
	b.oauth(200, "", "client_secret", body+"&client_id=anyone"+secret)

	const code = "invalid_client"
	b.oauth(401, code, "no API key", body)
	b.oauth(401, code, "an empty Bearer", body, bearer(""))
	b.oauth(401, code, "an empty Basic", body, basic(""))
	b.oauth(401, code, "an empty client_secret", body+"&client_secret=")
	b.oauth(401, code, "a wrong API key", body, apiKey("pawl_x"))
	b.oauth(401, code, "Basic with a wrong password", body, basic("x"))
	b.oauth(401, code, "Basic with a broken escape", body, basic("%zz"))
	b.oauth(401, code, "a wrong client_secret", body+"&client_secret=x")
	b.oauth(401, code, "a token instead of an API key", body, bearer(text))
	b.oauth(401, code, "another scheme", body, "Authorization: Digest x")
	b.oauth(401, code, "too large without an API key", strings.Repeat("a", api.MaxBodyBytes+9))

	b.oauth(400, "invalid_request", "two API keys", body, apiKey(b.APIKey), bearer(b.APIKey))
	b.oauth(400, "invalid_request", "Basic and client_secret", body+secret, basic(b.APIKey))
	b.oauth(400, "invalid_request", "client_secret twice", body+secret+secret)
}

// TestOAuthErrors checks that errors have the form and the status of RFC 6749, 5.2.
func TestOAuthErrors(t *testing.T) {
	b := start(t)
	const code = "invalid_request"
	key, body := apiKey(b.APIKey), "token="+b.login()
	b.oauth(400, code, "no token", "token_type_hint=x", key)
	b.oauth(400, code, "two tokens", body+"&"+body, key)
	b.oauth(400, code, "client_id twice", body+"&client_id=a&client_id=b", key)
	b.oauth(400, code, "not a form", "token=%zz", key)
	b.oauth(415, code, "JSON", `{"token":"x"}`, key, "Content-Type: application/json")
	b.oauth(413, code, "too large", "token="+strings.Repeat("a", api.MaxBodyBytes), key)

	resp, answer := b.form("/oauth2/nothing", body, key)
	if resp.StatusCode != 404 || !strings.Contains(answer, `"error":"invalid_request"`) {
		t.Errorf("an unknown path: %d %s", resp.StatusCode, answer)
	}
	for path, allow := range map[string]string{
		"/oauth2/introspect": "POST", "/oauth2/revoke": "POST", "/.well-known/jwks.json": "GET, HEAD",
	} {
		resp, answer := b.send("PUT", path, "")
		if resp.StatusCode != 405 || resp.Header.Get("Allow") != allow || !strings.Contains(answer, code) {
			t.Errorf("%s: %d %s %v", path, resp.StatusCode, answer, resp.Header)
		}
	}
}

// jwks returns the published keys, and their JSON text.
func (b *browser) jwks() (set jose.JSONWebKeySet, text string) {
	b.Helper()
	resp, text := b.send("GET", "/.well-known/jwks.json", "")
	err := json.Unmarshal([]byte(text), &set)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "public, max-age=150" {
		b.Fatalf("%d %s %v, %v", resp.StatusCode, text, resp.Header, err)
	}
	return set, text
}

// TestJWKS checks that the published keys verify tokens, including the first token of a new key, and that nothing
// private is published.
func TestJWKS(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			b := start(t, fastReload(alg))
			first := b.login()
			b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.admin())
			set, text := b.jwks() // before the new key signs
			if alg == token.HS256 {
				if text != `{"keys":[]}`+"\n" {
					t.Fatalf("published %s", text)
				}
				return
			}
			b.Clock.Add(keyLead)
			b.awaitStates("Signing Verifying")
			second := b.login()
			if len(set.Keys) != 2 || keyID(t, first) == keyID(t, second) {
				t.Fatalf("%d keys", len(set.Keys))
			}
			for _, text := range []string{first, second} {
				signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := signed.Verify(set); err != nil {
					t.Errorf("the published keys do not verify: %v", err)
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
			b.retire(200, "", keyID(t, first), true)
			if set, _ := b.jwks(); len(set.Keys) != 1 || set.Keys[0].KeyID != keyID(t, second) {
				t.Errorf("published %+v", set)
			}
		})
	}
}

// TestMetadata checks the addresses in the server metadata, that a client may cache only a configured address, and that
// the iss of tokens is the issuer of the metadata wherever a public URL is set.
func TestMetadata(t *testing.T) {
	const path, public = "/.well-known/oauth-authorization-server", "https://auth.example.com"
	check := func(options []pawltest.Option, issuer, iss, base, cache string) {
		t.Helper()
		b := start(t, options...)
		if got := b.introspect(true, b.login(), b.APIKey).Issuer; got != iss {
			t.Errorf("tokens have the iss %s, want %s", got, iss)
		}
		if base == "" {
			base = b.URL
		}
		resp, text := b.send("GET", path, "")
		var m api.ServerMetadata
		if err := json.Unmarshal([]byte(text), &m); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %s: %v", resp.StatusCode, text, err)
		}
		if issuer == "" {
			issuer = base
		}
		methods := []string{"client_secret_basic", "client_secret_post"}
		if !slices.Equal(m.RevocationAuthMethods, methods) ||
			!slices.Equal(m.IntrospectionAuthMethods, append(methods, "Bearer")) {
			t.Errorf("methods %q and %q", m.RevocationAuthMethods, m.IntrospectionAuthMethods)
		}
		if m.Issuer != issuer || m.JWKS != base+"/.well-known/jwks.json" ||
			m.Introspection != base+"/oauth2/introspect" || m.Revocation != base+"/oauth2/revoke" {
			t.Errorf("%+v", m)
		}
		if got := resp.Header.Get("Cache-Control"); got != cache {
			t.Errorf("Cache-Control: %q, want %q", got, cache)
		}
	}
	publicURL := pawltest.WithConfig(func(c *app.Config) { c.PublicURL = public })
	publicIssuer := pawltest.WithConfig(func(c *app.Config) { c.Issuer = public })
	other := pawltest.WithConfig(func(c *app.Config) { c.Issuer = "https://other.example.com" })
	check(nil, "", "pawl", "", "no-store")
	check([]pawltest.Option{publicURL}, public, public, public, "public, max-age=300")
	check([]pawltest.Option{publicIssuer}, public, public, "", "no-store")
	check([]pawltest.Option{publicURL, other}, "https://other.example.com", "https://other.example.com", public,
		"public, max-age=300")
}
