package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// cookieMode turns cookies on, and allows one other origin.
func cookieMode(mode server.CookieMode) pawltest.Option {
	return pawltest.WithConfig(func(c *app.Config) {
		c.Cookie = mode
		c.AllowedOrigins = []string{appOrigin}
		c.PublicURL = "https://auth.example.com"
	})
}

// cookie returns the header with the session cookie.
func cookie(token string) string { return "Cookie: theme=dark; __Host-pawl=" + token + "; x=y" }

// cookieLogin signs in, checks the response, and returns the token of the cookie.
func (b *browser) cookieLogin(body string, headers ...string) string {
	b.Helper()
	resp, text := b.send("POST", "/v2/auth/login", body, headers...)
	return b.cookieOf(resp, text)
}

// cookieOf returns the token of the cookie that a response sets. The body must have no token.
func (b *browser) cookieOf(resp *http.Response, text string) string {
	b.Helper()
	set := resp.Cookies()
	if resp.StatusCode != 200 || len(set) != 1 || !strings.Contains(text, `"data":{"token":"",`) {
		b.Fatalf("%d %v %s, want one cookie and an empty token", resp.StatusCode, set, text)
	}
	c := set[0]
	if c.Name != "__Host-pawl" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.MaxAge <= 0 {
		b.Errorf("Set-Cookie: %s", c.Raw)
	}
	if resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(text, c.Value) {
		b.Errorf("%v %s", resp.Header, text)
	}
	return c.Value
}

// cookieLoginBody returns the body of a login that asks for the cookie.
func cookieLoginBody(names string) string {
	return fmt.Sprintf(`{%q:%q,"password":%q,"cookie":true}`, names, pawltest.Login, pawltest.Password)
}

// TestCookieSession signs in, calls, refreshes and signs out with nothing but the cookie.
func TestCookieSession(t *testing.T) {
	for mode, attribute := range map[server.CookieMode]string{
		server.CookieLax: "SameSite=Lax", server.CookieStrict: "SameSite=Strict",
	} {
		t.Run(string(mode), func(t *testing.T) {
			b := start(t, cookieMode(mode), pawltest.WithConfig(func(c *app.Config) {
				c.Policy.TokenLife, c.Policy.IdleLife = time.Minute, time.Hour
			}))
			resp, text := b.send("POST", "/v2/auth/login", cookieLoginBody("login"))
			first := b.cookieOf(resp, text)
			want := "__Host-pawl=" + first + "; Path=/; Max-Age=3600; HttpOnly; Secure; " + attribute
			if got := resp.Header.Get("Set-Cookie"); got != want {
				t.Errorf("Set-Cookie: %s\nwant %s", got, want)
			}
			b.expect(200, "", "POST", "/v2/auth/session", "", cookie(first))
			b.expect(200, "", "GET", "/v2/users/me", "", cookie(first))
			b.Clock.Add(2 * time.Minute)
			b.expect(401, api.CodeInvalidSession, "GET", "/v2/users/me", "", cookie(first)) // expired, but not idle
			second := b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(first)))
			b.expect(401, api.CodeInvalidSession, "GET", "/v2/users/me", "", cookie(first))
			third := b.cookieOf(b.send("POST", "/v2/auth/refresh", "{}", cookie(second), apiKey(b.APIKey)))
			b.expect(200, "", "GET", "/v2/users/me", "", cookie(third))

			resp, text = b.send("POST", "/v2/auth/logout", "", cookie(third))
			want = "__Host-pawl=; Path=/; Max-Age=0; HttpOnly; Secure; " + attribute
			if got := resp.Header.Get("Set-Cookie"); resp.StatusCode != 200 || got != want {
				t.Errorf("logout: %d %s, Set-Cookie: %s", resp.StatusCode, text, got)
			}
			b.expect(401, api.CodeInvalidSession, "GET", "/v2/users/me", "", cookie(third))
		})
	}
}

// TestCookieForms checks that each form of a login can ask for the cookie, and has no token in any of its fields.
func TestCookieForms(t *testing.T) {
	b := start(t, cookieMode(server.CookieLax))
	for name, fields := range map[string]string{
		"login": "token expiresAt userId", "loginName": "token expiresAt userId",
		"email": "token expiresAt userId refreshToken", "username": "token expiresAt userId refreshToken",
	} {
		_, text := b.send("POST", "/v2/auth/login", cookieLoginBody(name))
		for field := range strings.SplitSeq(fields, " ") {
			if !strings.Contains(text, `"`+field+`":`) {
				t.Errorf("%s: %s lacks %s", name, text, field)
			}
		}
		isPair := strings.Contains(fields, "refreshToken")
		if strings.Contains(text, "eyJ") || strings.Contains(text, "refreshToken") != isPair {
			t.Errorf("%s: %s", name, text)
		}
	}
	// A login without the field has the token in the response, and no cookie.
	resp, _ := b.send("POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password))
	if len(resp.Cookies()) != 0 || b.login() == "" {
		t.Error("a login in token mode sets a cookie")
	}
	// A failed login sets none either.
	wrong := `{"login":"x","password":"wrong","cookie":true}`
	resp, text := b.send("POST", "/v2/auth/login", wrong)
	if resp.StatusCode != 401 || len(resp.Cookies()) != 0 {
		t.Errorf("%d %s %v", resp.StatusCode, text, resp.Cookies())
	}
}

// TestCookieOff checks that a server without cookie mode sets no cookie and reads none.
func TestCookieOff(t *testing.T) {
	b := start(t)
	token := b.login()
	for _, path := range []string{"POST /v2/auth/session", "GET /v2/users/me", "POST /v2/auth/logout"} {
		method, path, _ := strings.Cut(path, " ")
		b.expect(401, api.CodeInvalidSession, method, path, "", cookie(token))
	}
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/auth/refresh", "", cookie(token))
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/auth/login", cookieLoginBody("login"))
	if resp, _ := b.send("GET", "/forward-auth", "", cookie(token)); resp.StatusCode != 401 {
		t.Errorf("/forward-auth: %d", resp.StatusCode)
	}
	b.session(200, token)
	if events := b.audit("kind=loginFailed", b.admin()); len(events) != 0 {
		t.Errorf("%d failed attempts were counted", len(events))
	}
}

// TestCookieAndHeaders checks that an Authorization header comes before the cookie, and that an API key beside the
// cookie must be valid too.
func TestCookieAndHeaders(t *testing.T) {
	b := start(t, cookieMode(server.CookieLax))
	_, other := b.addUser("ada@example.com", "MailboxUser", 1, 101)
	own := b.cookieLogin(cookieLoginBody("login"))
	user := func(headers ...string) int64 {
		return data[api.SessionInfo](b, "POST", "/v2/auth/session", "", headers...).UserID
	}
	if got := user(cookie(own)); got != pawltest.UserID {
		t.Errorf("the cookie is of user %d", got)
	}
	if got := user(cookie(own), bearer(other)); got == pawltest.UserID {
		t.Error("the cookie comes before Authorization")
	}
	if got := user(cookie(own), apiKey(b.AdminAPIKey)); got != pawltest.UserID {
		t.Errorf("an API key beside the cookie makes the caller user %d", got)
	}
	session := func(status int, code api.ErrorCode, headers ...string) {
		t.Helper()
		b.expect(status, code, "POST", "/v2/auth/session", "", headers...)
	}
	session(401, api.CodeInvalidSession, cookie(own), bearer("x"))
	session(401, api.CodeInvalidSession, cookie(own), "Authorization: Basic eDp5")
	session(401, api.CodeInvalidAPIKey, cookie(own), apiKey("x"))
	session(401, api.CodeInvalidSession, cookie("x"), apiKey(b.APIKey))
	session(200, "", cookie(""), apiKey(b.APIKey)) // an empty cookie is none
	// A token in the body is refreshed in token mode, whatever the cookie is.
	if next := b.refresh(200, other, cookie(own)); next == "" {
		t.Error("a refresh of the body's token sets the cookie")
	}
	// The logout of a bearer leaves the cookie.
	token := b.login()
	resp, _ := b.send("POST", "/v2/auth/logout", "", bearer(token), cookie(own))
	if resp.StatusCode != 200 || len(resp.Cookies()) != 0 {
		t.Errorf("logout: %d %v", resp.StatusCode, resp.Cookies())
	}
	session(200, "", cookie(own))
}

// TestCookieTabs checks that two tabs that refresh within 10 seconds get the same successor, with or without keys, and
// that a later one is theft.
func TestCookieTabs(t *testing.T) {
	key1, key2 := []string{"Idempotency-Key: tab-1"}, []string{"Idempotency-Key: tab-2"}
	for name, c := range map[string]struct {
		first, second []string
		after         time.Duration
		status        int
	}{
		"without keys":           {after: 9 * time.Second, status: 200},
		"two keys":               {first: key1, second: key2, after: 9 * time.Second, status: 200},
		"one key":                {first: key1, after: 9 * time.Second, status: 200},
		"one key, later":         {second: key1, after: 9 * time.Second, status: 200},
		"the same key":           {first: key1, second: key1, after: 119 * time.Second, status: 200},
		"without keys, too late": {after: 11 * time.Second, status: 401},
		"two keys, too late":     {first: key1, second: key2, after: 11 * time.Second, status: 401},
		"same key, too late":     {first: key1, second: key1, after: 121 * time.Second, status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, cookieMode(server.CookieLax))
			old := b.cookieLogin(cookieLoginBody("email"))
			next := b.cookieOf(b.send("POST", "/v2/auth/refresh", "", append(c.first, cookie(old))...))
			b.Clock.Add(c.after)
			resp, text := b.send("POST", "/v2/auth/refresh", "", append(c.second, cookie(old))...)
			if resp.StatusCode != c.status {
				t.Fatalf("%d %s, want %d", resp.StatusCode, text, c.status)
			}
			if c.status == 200 {
				if again := b.cookieOf(resp, text); again != next {
					t.Errorf("another successor: %s, want %s", again, next)
				}
				b.expect(200, "", "POST", "/v2/auth/session", "", cookie(next))
				return
			}
			b.expect(401, api.CodeInvalidSession, "POST", "/v2/auth/session", "", cookie(next)) // theft
		})
	}
	t.Run("a token in the body", func(t *testing.T) { // has no such window
		b := start(t, cookieMode(server.CookieLax))
		token := b.login()
		b.refresh(200, token)
		b.refresh(401, token)
	})
}

// TestCookieCleared checks that the end of a session removes the cookie, and that nothing else does but a sign-out
// (TestCookieSignOut). The cookie of a superseded token must stay, because the browser may have the successor already.
func TestCookieCleared(t *testing.T) {
	b := start(t, cookieMode(server.CookieLax), pawltest.WithConfig(func(c *app.Config) {
		c.Policy.TokenLife, c.Policy.IdleLife = time.Minute, time.Hour
	}))
	cleared := func(name string, want bool, method, path string, headers ...string) {
		t.Helper()
		resp, text := b.send(method, path, "", headers...)
		got := len(resp.Cookies()) == 1 && resp.Cookies()[0].MaxAge < 0
		if resp.StatusCode != 401 || got != want || !got && len(resp.Cookies()) > 0 {
			t.Errorf("%s: %s %s: %d %s, Set-Cookie %v", name, method, path, resp.StatusCode, text, resp.Cookies())
		}
	}
	calls := []string{"POST /v2/auth/session", "GET /v2/users/me", "POST /v2/auth/refresh"}
	each := func(name string, want bool, calls []string, headers ...string) {
		t.Helper()
		for _, call := range calls {
			method, path, _ := strings.Cut(call, " ")
			cleared(name, want, method, path, headers...)
		}
	}
	login := func() string { return b.cookieLogin(cookieLoginBody("login")) }

	ended := login()
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(ended))
	each("an ended session", true, calls, cookie(ended))
	each("an ended session as a bearer", false, calls[:2], bearer(ended), cookie(ended))
	reset := login()
	b.expect(200, "", "POST", fmt.Sprintf("/v2/users/reset/%d", pawltest.UserID), "", b.admin())
	each("a reset user", true, calls, cookie(reset))

	old := login()
	current := b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(old)))
	each("a superseded token", false, calls[:2], cookie(old))
	b.expect(200, "", "POST", "/v2/auth/session", "", cookie(current))
	b.Clock.Add(30 * time.Minute)
	each("an expired token that can be refreshed", false, calls[:2], cookie(current))
	each("garbage", false, calls[:2], cookie("a.b.c"))
	b.Clock.Add(31 * time.Minute)
	cleared("a token past its idle time", true, "POST", "/v2/auth/refresh", cookie(current))
	stolen := login()
	b.cookieOf(b.send("POST", "/v2/auth/refresh", "", cookie(stolen)))
	b.Clock.Add(11 * time.Second)
	cleared("theft", true, "POST", "/v2/auth/refresh", cookie(stolen))
}

// site is what a browser sends about the page that sent a request.
type site struct {
	headers []string
	allowed bool
}

var sites = map[string]site{
	"a program":                      {nil, true},
	"the same origin":                {[]string{"Sec-Fetch-Site: same-origin"}, true},
	"the address bar":                {[]string{"Sec-Fetch-Site: none"}, true},
	"the public URL, old browser":    {[]string{"Origin: https://auth.example.com"}, true},
	"an allowed origin":              {[]string{"Origin: " + appOrigin, "Sec-Fetch-Site: same-site"}, true},
	"an allowed origin, old browser": {[]string{"Origin: " + appOrigin}, true},
	"another site":                   {[]string{"Origin: " + otherOrigin, "Sec-Fetch-Site: cross-site"}, false},
	"another site, no Origin":        {[]string{"Sec-Fetch-Site: cross-site"}, false},
	"another host of the site":       {[]string{"Origin: https://x.example.com", "Sec-Fetch-Site: same-site"}, false},
	"another host, no Origin":        {[]string{"Sec-Fetch-Site: same-site"}, false},
	"another site, old browser":      {[]string{"Origin: " + otherOrigin}, false},
	"a sandboxed page":               {[]string{"Origin: null", "Sec-Fetch-Site: cross-site"}, false},
	"a sandboxed page, old browser":  {[]string{"Origin: null"}, false},
	"an unknown word":                {[]string{"Sec-Fetch-Site: x"}, false},
}

// TestForeignSites sends requests with the cookie from pages of all kinds. A page of another origin cannot call,
// refresh or sign out, and cannot sign the browser in as another user.
func TestForeignSites(t *testing.T) {
	b := start(t, cookieMode(server.CookieStrict))
	token := b.cookieLogin(cookieLoginBody("login"))
	for name, s := range sites {
		t.Run(name, func(t *testing.T) {
			b := &browser{t, b.Server}
			status, code := 200, api.ErrorCode("")
			if !s.allowed {
				status, code = 403, api.CodeAccessDenied
			}
			send := func(call, body string) {
				t.Helper()
				method, path, _ := strings.Cut(call, " ")
				resp, text := b.send(method, path, body, append(s.headers, cookie(token))...)
				if resp.StatusCode != status || !strings.Contains(text, `"errorCode":"`+string(code)+`"`) {
					t.Errorf("%s: %d %s, want %d", call, resp.StatusCode, text, status)
				}
				if s.allowed && len(resp.Cookies()) == 1 {
					token = resp.Cookies()[0].Value
				} else if !s.allowed && len(resp.Cookies()) > 0 {
					t.Errorf("%s sets a cookie", call)
				}
			}
			send("GET /v2/users/me", "")
			send("POST /v2/auth/session", "")
			send("POST /v2/users/list", "{}")
			send("POST /v2/auth/refresh", "")
			send("POST /v2/auth/logout", "")
			send("POST /v2/auth/login", cookieLoginBody("login"))
			b.expect(200, "", "POST", "/v2/auth/session", "", cookie(token))
		})
	}
	// With a token in Authorization, the site does not matter: a page of another origin cannot have it.
	foreign := sites["another site"].headers
	b.expect(200, "", "POST", "/v2/auth/session", "", append(foreign, bearer(b.login()), cookie(token))...)
	b.expect(200, "", "POST", "/v2/auth/session", "", append(foreign, apiKey(b.APIKey))...)
}

// TestForwardAuthCookie checks the cookie at /forward-auth. A page of another origin may follow a link through the
// gateway, but may not send another method, or a request whose method the gateway does not name.
func TestForwardAuthCookie(t *testing.T) {
	b := start(t, cookieMode(server.CookieLax))
	token := b.cookieLogin(cookieLoginBody("login"))
	ask := func(name string, want int, headers ...string) {
		t.Helper()
		for _, path := range []string{"/forward-auth", "/forward-auth/api/x"} {
			resp, body := b.send("GET", path, "", append(headers, cookie(token))...)
			h := resp.Header
			if resp.StatusCode != want || body != "" || (h.Get("X-Auth-User-Id") == "4821") != (want == 200) {
				t.Errorf("%s: %s: %d %v, want %d", name, path, resp.StatusCode, h, want)
			}
		}
	}
	get, post := "X-Forwarded-Method: GET", "X-Forwarded-Method: POST"
	for name, s := range sites {
		want := map[bool]int{true: 200, false: 403}[s.allowed]
		ask(name, want, s.headers...)
		ask(name+", POST", want, append(s.headers, post)...)
		ask(name+", GET", 200, append(s.headers, get)...)
	}
	b.expect(200, "", "POST", "/v2/auth/logout", "", cookie(token))
	ask("an ended session", 401)
}

// TestForwardAuthPreflight checks that a preflight passes only if the gateway allows it, with headers that name no
// caller, and that no other request passes in its place.
func TestForwardAuthPreflight(t *testing.T) {
	b := &browser{t, pawltest.New(t)}
	const allow = "/forward-auth?preflight=allow"
	preflight := []string{
		"Origin: " + otherOrigin, "Access-Control-Request-Method: POST", "X-Auth-User-Id: 1",
		"X-Forwarded-Method: OPTIONS",
	}
	for name, c := range map[string]struct {
		method, path string
		without      string // the header to leave out
		want         int
	}{
		"allowed":                          {"GET", allow, "", 204},
		"allowed, the method itself":       {"OPTIONS", allow, "X-Forwarded-Method", 204},
		"beside a requirement":             {"GET", allow + "&level=Root", "", 204},
		"not allowed":                      {"GET", "/forward-auth", "", 401},
		"another word":                     {"GET", "/forward-auth?preflight=deny", "", 401},
		"the query of a client":            {"OPTIONS", "/forward-auth/?preflight=allow", "X-Forwarded-Method", 401},
		"the query and path of a client":   {"OPTIONS", "/forward-auth/x?preflight=allow", "X-Forwarded-Method", 401},
		"the query of a client, in case":   {"OPTIONS", "/Forward-Auth/?preflight=allow", "X-Forwarded-Method", 404},
		"no preflight, no Origin":          {"GET", allow, "Origin", 401},
		"no preflight, no method asked":    {"GET", allow, "Access-Control-Request-Method", 401},
		"no preflight, an unknown method":  {"GET", allow, "X-Forwarded-Method", 401},
		"no preflight, a POST":             {"POST", allow, "X-Forwarded-Method", 401},
		"an escaped path, which is longer": {"OPTIONS", "/forward-auth%2F?preflight=allow", "X-Forwarded-Method", 401},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			for _, header := range preflight {
				if c.without == "" || !strings.HasPrefix(header, c.without+":") {
					headers = append(headers, header)
				}
			}
			resp, _ := b.send(c.method, c.path, "", headers...)
			if resp.StatusCode != c.want {
				t.Fatalf("%d, want %d", resp.StatusCode, c.want)
			}
			for _, name := range authHeaders {
				values, set := resp.Header[name]
				if set != (c.want == 204) || strings.Join(values, "") != "" {
					t.Errorf("%s is %q", name, values)
				}
			}
		})
	}
	if resp, _ := b.send("GET", allow, "", apiKey(b.APIKey)); resp.StatusCode != 200 {
		t.Errorf("another request: %d", resp.StatusCode)
	}
}

// TestCredentialsOfOrigins checks that an allowed origin may send the cookie, if there is one, and no other origin may.
func TestCredentialsOfOrigins(t *testing.T) {
	b := &browser{t, pawltest.New(t, cookieMode(server.CookieLax))}
	const credentials = "Access-Control-Allow-Credentials"
	for origin, want := range map[string]string{appOrigin: "true", otherOrigin: ""} {
		if got := b.preflight(origin, "POST", "/v2/auth/refresh", "content-type").Get(credentials); got != want {
			t.Errorf("a preflight from %s: %q", origin, got)
		}
		resp, _ := b.send("GET", "/v2/auth/version", "", "Origin: "+origin)
		if got := resp.Header.Get(credentials); got != want {
			t.Errorf("from %s: %q", origin, got)
		}
		resp, _ = b.send("GET", "/.well-known/jwks.json", "", "Origin: "+origin)
		if got := resp.Header.Get(credentials); got != "" {
			t.Errorf("a public document from %s: %q", origin, got)
		}
	}
}
