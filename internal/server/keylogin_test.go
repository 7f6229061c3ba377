package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

func keyLogin(key string) string { return fmt.Sprintf(`{"apiKey":%q}`, key) }

// TestKeyLogin checks that a login with an API key opens a session of the key's user, which ends with the key.
func TestKeyLogin(t *testing.T) {
	b := start(t)
	got := data[api.TokenWithSessionKey](b, "POST", "/v2/auth/login", keyLogin(b.APIKey), b.admin())
	if got.UserID != pawltest.UserID || got.SessionKey != got.Token.Token || got.SessionKey == "" {
		t.Errorf("%+v", got)
	}
	b.session(200, b.refresh(200, got.SessionKey))
	events := b.audit("kind=login", b.admin())
	if len(events) != 1 {
		t.Fatalf("%+v", events)
	}
	e := events[0]
	opened := strings.HasPrefix(e.Detail, "opened with key ")
	if *e.UserID != pawltest.UserID || *e.CallerID != pawltest.UserID || !opened || e.Address != "127.0.0.1" {
		t.Errorf("%+v", e)
	}

	expires := b.Clock.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339)
	key := b.createKey(pawltest.UserID, fmt.Sprintf(`"expiresAt":%q`, expires))
	limited := data[api.TokenWithSessionKey](b, "POST", "/v2/auth/login", keyLogin(key.Key))
	if at := limited.ExpiresAt.Format(time.RFC3339); at != expires {
		t.Errorf("the token expires at %s, but its key at %s", at, expires)
	}
	b.Clock.Add(10 * time.Minute)
	b.refresh(401, limited.Token.Token)
}

// TestKeyLoginRejected checks the keys that open no session, and that none of them does.
func TestKeyLoginRejected(t *testing.T) {
	b := start(t)
	owner := b.login()
	key := func(fields string) string { return b.createKey(pawltest.AdminID, fields).Key }
	ofSession := data[api.APIKey](b, "POST", "/v2/keys/create",
		fmt.Sprintf(`{"userId":%d,"visibility":"Session"}`, pawltest.UserID), bearer(owner)).Key
	removed := b.createKey(pawltest.UserID, `"name":"removed"`)
	b.expect(200, "", "DELETE", "/v2/keys", fmt.Sprintf(`{"keyId":%d}`, removed.KeyID), b.admin())
	suspended, _ := b.addUser("ada@example.com", "MailboxUser", 1, 101)
	ada := data[[]api.User](b, "POST", "/v2/users/by-name", `{"login":"ada@example.com"}`, b.admin())[0].UserID
	b.expect(200, "", "PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"status":"Suspended"}`, ada), b.admin())
	before := len(b.audit("kind=login", b.admin()))
	for name, c := range map[string]struct {
		body   string
		status int
		code   api.ErrorCode
		header string
	}{
		"not a key":         {keyLogin("x"), 401, api.CodeInvalidAPIKey, ""},
		"a token":           {keyLogin(owner), 401, api.CodeInvalidAPIKey, ""},
		"damaged":           {keyLogin(b.APIKey[:len(b.APIKey)-1] + "_"), 401, api.CodeInvalidAPIKey, ""},
		"removed":           {keyLogin(removed.Key), 401, api.CodeInvalidAPIKey, ""},
		"a suspended user":  {keyLogin(suspended), 401, api.CodeInvalidAPIKey, ""},
		"of a session":      {keyLogin(ofSession), 403, api.CodeAccessDenied, ""},
		"scope Verify":      {keyLogin(key(`"scope":"Verify"`)), 403, api.CodeAccessDenied, ""},
		"scope Open":        {keyLogin(key(`"scope":"OpenSessions"`)), 403, api.CodeAccessDenied, ""},
		"with a password":   {`{"apiKey":"` + b.APIKey + `","password":"x"}`, 400, api.CodeInvalidParameter, ""},
		"with a login":      {`{"apiKey":"` + b.APIKey + `","email":"x"}`, 400, api.CodeInvalidParameter, ""},
		"no text":           {`{"apiKey":""}`, 400, api.CodeInvalidParameter, ""},
		"a number":          {`{"apiKey":1}`, 400, api.CodeInvalidParameter, ""},
		"a wrong X-API-Key": {keyLogin(b.APIKey), 401, api.CodeInvalidAPIKey, apiKey("x")},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{"Accept: */*"}
			if c.header != "" {
				headers = append(headers, c.header)
			}
			(&browser{t, b.Server}).expect(c.status, c.code, "POST", "/v2/auth/login", c.body, headers...)
		})
	}
	if after := len(b.audit("kind=login", b.admin())); after != before {
		t.Errorf("%d sessions were opened", after-before)
	}
}

// TestKeyLoginAtTheWrite takes the rights of the key's user away after the login was permitted and before its
// transaction begins. The login must open a session only if the key is still valid.
func TestKeyLoginAtTheWrite(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(g *gated, keyID int64)
		status  int
	}{
		"removed": {status: 401, happens: func(g *gated, keyID int64) {
			g.expect(200, "", "DELETE", "/v2/keys", fmt.Sprintf(`{"keyId":%d}`, keyID), g.admin())
		}},
		"suspended": {status: 401, happens: func(g *gated, _ int64) {
			body := fmt.Sprintf(`{"userId":%d,"status":"Suspended"}`, pawltest.UserID)
			g.expect(200, "", "PUT", "/v2/users", body, g.admin())
		}},
		"demoted": {status: 200, happens: func(g *gated, _ int64) {
			body := fmt.Sprintf(`{"userId":%d,"authLevel":"General"}`, pawltest.UserID)
			g.expect(200, "", "POST", "/v2/users/role", body, g.admin())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGated(t)
			key := g.createKey(pawltest.UserID, `"name":"x"`)
			held := g.gate.hold(pawltest.UserID)
			answered := held.start(t, func() int {
				resp, _ := g.send("POST", "/v2/auth/login", keyLogin(key.Key))
				return resp.StatusCode
			})
			c.happens(g, key.KeyID)
			held.release()
			if status := <-answered; status != c.status {
				t.Errorf("answered %d, want %d", status, c.status)
			}
			want := map[int]int{200: 1, 401: 0}[c.status]
			if events := g.audit("kind=login", g.admin()); len(events) != want {
				t.Errorf("%d sessions were opened, want %d", len(events), want)
			}
		})
	}
}
