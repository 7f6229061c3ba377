package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// startSignOut runs a server with cookies, whose tokens expire long before they can no longer be refreshed.
func startSignOut(t *testing.T, options ...pawltest.Option) *browser {
	return start(t, append(options, cookieMode(server.CookieLax), pawltest.WithConfig(func(c *app.Config) {
		c.Policy.TokenLife, c.Policy.IdleLife = time.Minute, time.Hour
	}))...)
}

// idOf returns the id of the session of a token.
func idOf(b *browser, text string) string {
	b.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil {
		b.Fatal(err)
	}
	var claims struct{ Sid string }
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Sid == "" {
		b.Fatalf("%s: %v", payload, err)
	}
	return claims.Sid
}

// live checks whether a session lives, without a use of its token.
func (b *browser) live(token string, want bool) {
	b.Helper()
	id := idOf(b, token)
	found := false
	body := fmt.Sprintf(`{"userId":%d}`, pawltest.UserID)
	for _, session := range data[[]api.Session](b, "POST", "/v2/auth/sessions", body, b.admin()) {
		found = found || session.SessionID == id
	}
	if found != want {
		b.Errorf("the session lives: %v, want %v", found, want)
	}
}

func (b *browser) signOut(status int, headers ...string) {
	b.Helper()
	b.expect(status, invalidSession(status), "POST", "/v2/auth/logout", "", headers...)
}

// TestSignOutExpired signs out with a token that has expired, but can still be refreshed.
func TestSignOutExpired(t *testing.T) {
	b := startSignOut(t)
	first, second := b.login(), b.login()
	third := b.login()
	_, other := b.addUser("ada@example.com", "MailboxUser", 1, 101)
	b.Clock.Add(time.Hour - time.Second)
	b.session(401, first)
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/logout", "", bearer(first), apiKey("x"))
	verifier := apiKey(b.createKey(pawltest.AdminID, `"scope":"Verify"`).Key)
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/auth/logout", "", bearer(first), verifier)
	b.live(first, true)
	b.signOut(200, bearer(first))
	b.live(first, false)
	b.refresh(401, first)
	b.signOut(401, bearer(first))
	events := b.audit("kind=logout", b.admin())
	if len(events) != 1 || *events[0].UserID != pawltest.UserID || *events[0].SessionID != idOf(b, first) {
		t.Errorf("the audit has the sign-outs %+v", events)
	}
	b.signOut(200, bearer(second), apiKey(b.APIKey))
	b.live(second, false)
	b.revoke(200, third, b.APIKey) // RFC 7009
	b.live(third, false)
	b.Clock.Add(time.Second)
	b.signOut(401, bearer(other)) // past its idle time
}

// TestSignOutSuperseded signs out with a superseded token. Only one that would be refreshed again ends its session.
func TestSignOutSuperseded(t *testing.T) {
	b := startSignOut(t)
	old := b.login()
	current := b.refresh(200, old)
	for _, after := range []time.Duration{0, 9 * time.Second, 110 * time.Second} {
		b.Clock.Add(after)
		b.signOut(401, bearer(old))
		b.live(current, true)
	}
	replays := startSignOut(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.ReplayWithoutKey = time.Minute }))
	old = replays.login()
	current = replays.refresh(200, old)
	replays.Clock.Add(59 * time.Second)
	replays.signOut(200, bearer(old))
	replays.live(current, false)
}

// TestSignOutGrace signs out with a superseded token during its grace as a bearer.
func TestSignOutGrace(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.BearerGrace = 5 * time.Second }))
	old := b.login()
	current := b.refresh(200, old)
	b.signOut(200, bearer(old))
	b.live(current, false)
}

// cookieSignOut is a sign-out by cookie in one state of the token.
type cookieSignOut struct {
	prepare func(b *browser, token string) (sent string)
	headers []string
	status  int
	cleared bool
	lives   bool
	event   string // the kind of the only new event of the session
}

var cookieSignOuts = map[string]cookieSignOut{
	"current": {status: 200, cleared: true, event: "logout"},
	"expired, can be refreshed": {status: 200, cleared: true, event: "logout",
		prepare: func(b *browser, token string) string { b.Clock.Add(59 * time.Minute); return token }},
	"past its idle time": {status: 200, cleared: true,
		prepare: func(b *browser, token string) string { b.Clock.Add(time.Hour); return token }},
	"ended": {status: 200, cleared: true, event: "logout",
		prepare: func(b *browser, token string) string { b.signOut(200, bearer(token)); return token }},
	"superseded by another tab": {status: 200, cleared: true, event: "logout",
		prepare: func(b *browser, token string) string {
			b.refreshCookie(token)
			b.Clock.Add(9 * time.Second)
			return token
		}},
	"superseded twice": {status: 200, cleared: true, event: "logout",
		prepare: func(b *browser, token string) string { b.refreshCookie(b.refreshCookie(token)); return token }},
	"superseded by a thief": {status: 200, cleared: true, event: "theft",
		prepare: func(b *browser, token string) string {
			b.refreshCookie(token)
			b.Clock.Add(11 * time.Second)
			return token
		}},
	"superseded and expired": {status: 200, cleared: true, event: "theft",
		prepare: func(b *browser, token string) string {
			b.refreshCookie(token)
			b.Clock.Add(30 * time.Minute)
			return token
		}},
	"no token": {status: 401, cleared: true, lives: true,
		prepare: func(*browser, string) string { return "a.b.c" }},
	"not of a cookie": {status: 401, cleared: true, lives: true,
		prepare: func(b *browser, _ string) string { return b.login() }},
	"with a wrong API key":          {status: 401, lives: true, headers: []string{apiKey("x")}},
	"from a page of another origin": {status: 403, lives: true, headers: []string{"Sec-Fetch-Site: cross-site"}},
}

// refreshCookie refreshes the token of a cookie.
func (b *browser) refreshCookie(token string) string {
	b.Helper()
	return b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(token)))
}

// TestCookieSignOut signs out by cookie in each state of the token. The browser must lose the cookie, and the session
// must end: it may be in other hands, and the browser has nothing left to detect that with.
func TestCookieSignOut(t *testing.T) {
	for name, c := range cookieSignOuts {
		t.Run(name, func(t *testing.T) {
			b := startSignOut(t)
			token := b.cookieLogin(cookieLoginBody("login"))
			sent := token
			if c.prepare != nil {
				sent = c.prepare(b, token)
			}
			resp, text := b.send("POST", "/v2/auth/logout", "", append(c.headers, cookie(sent))...)
			cleared := len(resp.Cookies()) == 1 && resp.Cookies()[0].MaxAge < 0
			if resp.StatusCode != c.status || cleared != c.cleared || !cleared && len(resp.Cookies()) > 0 {
				t.Errorf("%d %s, Set-Cookie %v; want %d", resp.StatusCode, text, resp.Cookies(), c.status)
			}
			b.live(token, c.lives)
			for _, kind := range []string{"logout", "theft"} {
				want := 0
				if kind == c.event {
					want = 1
				}
				if n := len(b.audit("kind="+kind, b.admin())); n != want {
					t.Errorf("the audit has %d events of kind %s, want %d", n, kind, want)
				}
			}
		})
	}
}

// TestSignOutDuringRefresh refreshes a session between the check of a sign-out and its write. A cookie ends the session
// nevertheless, and a bearer is superseded.
func TestSignOutDuringRefresh(t *testing.T) {
	g := &gate{}
	gated := pawltest.WithConfig(func(c *app.Config) {
		c.Cookie = server.CookieLax
		c.WrapStore = func(s app.Store) app.Store {
			g.Store = s
			return g
		}
	})
	b := start(t, gated)
	for name, c := range map[string]struct {
		token  string
		header func(string) string
		status int
	}{
		"bearer": {token: b.login(), header: bearer, status: 401},
		"cookie": {token: b.cookieLogin(cookieLoginBody("login")), header: cookie, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			held := g.hold(pawltest.UserID)
			answered := held.start(t, func() int {
				resp, _ := b.send("POST", "/v2/auth/logout", "", c.header(c.token))
				return resp.StatusCode
			})
			next := b.refresh(200, c.token)
			held.release()
			if status := <-answered; status != c.status {
				t.Errorf("the sign-out is answered %d, want %d", status, c.status)
			}
			b.live(next, c.status == 401)
		})
	}
}

// failingEnd is a store that cannot end a session.
type failingEnd struct{ app.Store }

func (failingEnd) EndSession(context.Context, authority.Rights, token.SessionID) error {
	return fault.ErrUnavailable
}

// TestSignOutUnavailable signs out by cookie while the store fails. The cookie stays, so that the browser can try
// again.
func TestSignOutUnavailable(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) {
		c.Cookie = server.CookieLax
		c.WrapStore = func(s app.Store) app.Store { return failingEnd{s} }
	}))
	token := b.cookieLogin(cookieLoginBody("login"))
	resp, text := b.send("POST", "/v2/auth/logout", "", cookie(token))
	if resp.StatusCode != 503 || len(resp.Cookies()) != 0 {
		t.Errorf("%d %s, Set-Cookie %v", resp.StatusCode, text, resp.Cookies())
	}
	b.live(token, true)
}
