package server_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// TestBearerInCookie sends the token of a session without a cookie as a cookie. A thief would, because the token of a
// cookie can be refreshed again for 10 seconds. It is refused everywhere, and detects theft as it does elsewhere.
func TestBearerInCookie(t *testing.T) {
	const key = "Idempotency-Key: k"
	open := map[string]func(*browser) string{
		"a login": (*browser).login,
		"a refreshed login": func(b *browser) string {
			return b.refresh(200, b.login())
		},
		"a session opened for its user": func(b *browser) string {
			opened := fmt.Sprintf(`{"userId":%d}`, pawltest.UserID)
			return b.expect(200, "", "POST", "/v2/auth/sessions/open", opened, b.admin())
		},
	}
	for name, open := range open {
		t.Run(name, func(t *testing.T) {
			b := start(t, cookieMode(server.CookieLax))
			refused := func(token string, headers ...string) {
				t.Helper()
				for _, call := range []string{
					"POST /v2/auth/session", "GET /v2/users/me", "POST /v2/auth/refresh",
					"POST /v2/auth/sessions/end-all",
				} {
					method, path, _ := strings.Cut(call, " ")
					b.expect(401, api.CodeInvalidSession, method, path, "", append(headers, cookie(token))...)
				}
				resp, _ := b.send("GET", "/forward-auth", "", append(headers, cookie(token))...)
				if resp.StatusCode != 401 {
					t.Errorf("/forward-auth: %d", resp.StatusCode)
				}
			}
			old := open(b)
			refused(old)
			refused(old, apiKey(b.APIKey))
			next := b.refresh(200, old, key) // nothing has used the token up
			b.Clock.Add(9 * time.Second)
			refused(old)
			refused(old, key)
			b.session(200, next)
			b.Clock.Add(2 * time.Second)
			b.expect(401, api.CodeInvalidSession, "POST", "/v2/auth/refresh", "", cookie(old))
			b.session(401, next) // theft
			if theft := b.audit("kind=theft", b.admin()); len(theft) != 1 {
				t.Errorf("the audit has %d thefts, want 1", len(theft))
			}
			if n := len(b.audit("kind=refreshRefused", b.admin())); n != 4 {
				t.Errorf("the audit has %d rejected refreshes, want 4", n)
			}
		})
	}
}

// TestCookieTokenAsBearer sends the token of a cookie without the cookie, as a server behind the page does. It is
// accepted, but only a refresh with the cookie itself can be repeated without a key.
func TestCookieTokenAsBearer(t *testing.T) {
	refresh := map[string]func(b *browser, token string) string{
		"in the body": func(b *browser, token string) string { return b.refresh(200, token) },
		"OAuth":       func(b *browser, token string) string { return b.grant(token) },
		"cookie": func(b *browser, token string) string {
			return b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(token)))
		},
	}
	for name, refresh := range refresh {
		t.Run(name, func(t *testing.T) {
			b := start(t, cookieMode(server.CookieLax))
			old := b.cookieLogin(cookieLoginBody("login"))
			b.session(200, old)
			next := refresh(b, old)
			b.session(200, next)
			b.Clock.Add(9 * time.Second)
			b.refresh(401, old)
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old}}
			b.grantError(400, "invalid_grant", form.Encode())
			if again := b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(old))); again != next {
				t.Errorf("the cookie gets another successor: %s, want %s", again, next)
			}
			last := b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(next)))
			b.session(200, last)
			b.Clock.Add(11 * time.Second)
			b.refresh(401, next)
			b.session(401, last) // theft
		})
	}
}

// TestCookieOfAPIKey signs in with an API key and asks for the cookie.
func TestCookieOfAPIKey(t *testing.T) {
	b := start(t, cookieMode(server.CookieLax))
	resp, text := b.send("POST", "/v2/auth/login", fmt.Sprintf(`{"apiKey":%q,"cookie":true}`, b.APIKey))
	var envelope api.Envelope[api.TokenWithSessionKey]
	if err := json.Unmarshal([]byte(text), &envelope); err != nil || envelope.Data.SessionKey != "" {
		t.Errorf("%s, %v", text, err)
	}
	token := b.cookieOf(resp, text)
	next := b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(token)))
	b.expect(200, "", "POST", "/v2/auth/session", "", cookie(next))
}
