package browser_test

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// tokenLogin signs in without the cookie.
const tokenLogin = `(async () => String((await fetch(pawl + "/v2/auth/login", {
	method: "POST", headers: { "Content-Type": "application/json" },
	body: '{"login":"` + pawltest.Login + `","password":"` + pawltest.Password + `"}',
})).status))()`

// attempts are what a page of a foreign origin can try. Each script returns what the page can read of the response, or
// "unreadable". A name that begins with "never:" is of an attempt that the browser does not send to the server at all.
// pawl and app are the addresses of the server and of the app whose user is signed in.
var attempts = []struct{ name, script string }{
	{"fetch: every method, mode, credentials and body", `sweep()`},
	{"fetch that outlives the page", `peek(fetch(pawl + "/v2/auth/logout",
		{ method: "POST", mode: "no-cors", credentials: "include", keepalive: true }))`},
	{"fetch of a token by the form of OAuth", `peek(fetch(pawl + "/oauth2/token", { method: "POST", mode: "no-cors",
		credentials: "include", body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: "x" }) }))`},
	{"fetch with a guessed token", `peek(fetch(pawl + "/v2/auth/session",
		{ method: "POST", headers: { Authorization: "Bearer x" } }))`},
	{"XMLHttpRequest", `xhr("POST", "/v2/auth/refresh")`},
	{"XMLHttpRequest with PUT", `xhr("PUT", "/v2/auth/password")`},
	{"XMLHttpRequest with DELETE", `xhr("DELETE", "/v2/auth/sessions/x")`},
	{"redirect by the foreign site, GET", `peek(fetch(go("/v2/users/me"), { credentials: "include" }))`},
	{"redirect by the foreign site, POST", `peek(fetch(go("/v2/auth/logout"),
		{ method: "POST", mode: "no-cors", credentials: "include" }))`},
	{"redirect by the app, GET", `peek(fetch(go("/v2/users/me", app), { mode: "no-cors", credentials: "include" }))`},
	{"redirect by the app, POST", `peek(fetch(go("/v2/auth/logout", app),
		{ method: "POST", mode: "no-cors", credentials: "include" }))`},
	{"form, GET", `form("GET", "", pawl + "/v2/users/me")`},
	{"form, urlencoded, logout", `form("POST", "application/x-www-form-urlencoded", pawl + "/v2/auth/logout")`},
	{"form, urlencoded, token", `form("POST", "application/x-www-form-urlencoded", pawl + "/oauth2/token")`},
	{"form, text, refresh", `form("POST", "text/plain", pawl + "/v2/auth/refresh")`},
	{"form, text, login with a wrong password", `form("POST", "text/plain", pawl + "/v2/auth/login")`},
	{"form, multipart, logout", `form("POST", "multipart/form-data", pawl + "/v2/auth/logout")`},
	{"form, multipart, end of all sessions", `form("POST", "multipart/form-data", pawl + "/v2/auth/sessions/end-all")`},
	{"form, redirected by the app", `form("POST", "text/plain", go("/v2/auth/logout", app))`},
	{"img", `load("img", { src: pawl + "/v2/users/me" }, e => e.naturalWidth)`},
	{"img for scripts", `load("img", { crossOrigin: "use-credentials", src: pawl + "/v2/users/me" },
		e => e.naturalWidth)`},
	{"script", `load("script", { src: pawl + "/v2/users/me" }, () => "runs")`},
	{"script module", `load("script", { type: "module", crossOrigin: "use-credentials", src: pawl + "/v2/users/me" },
		() => "runs")`},
	{"import", `import(pawl + "/v2/users/me").then(() => "runs", () => "unreadable")`},
	{"style sheet", `load("link", { rel: "stylesheet", href: pawl + "/v2/users/me" }, () => "loaded")`},
	{"video", `load("video", { src: pawl + "/v2/users/me" }, () => "loaded")`},
	{"object", `load("object", { data: pawl + "/v2/users/me" }, e => String(e.contentDocument))`},
	{"iframe", `load("iframe", { src: pawl + "/v2/users/me" }, inFrame)`},
	{"never: worker", `new Promise(done => {
		try { new Worker(pawl + "/v2/users/me").onerror = () => done("unreadable") }
		catch { done("unreadable") } })`},
	{"never: the app's storage in an iframe", `load("iframe", { src: app }, inFrame)`},
	{"beacon, text", `beacon("/v2/auth/logout", "{}")`},
	{"beacon, form", `beacon("/v2/auth/refresh", new URLSearchParams({ token: "x" }))`},
	{"beacon, multipart", `beacon("/v2/auth/logout", new FormData())`},
	{"beacon, JSON", `beacon("/v2/auth/logout", new Blob(["{}"], { type: "application/json" }))`},
	{"ping of a link", `ping("/v2/auth/logout")`},
	{"EventSource", `new Promise(done => { const s = new EventSource(pawl + "/v2/users/me", { withCredentials: true });
		s.onmessage = s.onopen = () => done("open"); s.onerror = () => { s.close(); done("unreadable") } })`},
	{"WebSocket", `new Promise(done => { const s = new WebSocket(pawl.replace("http", "ws") + "/v2/users/me");
		s.onopen = () => done("open"); s.onerror = () => done("unreadable") })`},
	{"navigation", `(location = pawl + "/v2/users/me", "unreadable")`},
	{"navigation, redirected by the app", `(location = go("/v2/users/me", app), "unreadable")`},
	{"navigation by a form", `form("POST", "text/plain", pawl + "/v2/auth/logout", "_self")`},
}

//go:embed attempts.js
var attemptHelpers string // the functions of the scripts

// traffic records the requests to a server.
type traffic struct {
	mu  sync.Mutex // guards all
	all []arrival
}

// arrival is a request and the headers of its response.
type arrival struct {
	*http.Request
	status   int
	response http.Header
}

func (a arrival) String() string {
	return fmt.Sprintf("%s %s %v: %d %v", a.Method, a.URL.Path, a.Header, a.status, a.response)
}

// watched is an http.ResponseWriter that keeps the status.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// wrap returns a handler that records what the next handler answers.
func (l *traffic) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &watched{ResponseWriter: w, status: 200}
		next.ServeHTTP(seen, r)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, arrival{Request: r, status: seen.status, response: w.Header().Clone()})
	})
}

// take returns the recorded requests, and forgets them.
func (l *traffic) take() []arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// redirector serves an empty page with some headers, and redirects /go to any address. It returns the page's origin
// with this host name.
func redirector(t *testing.T, host string, headers http.Header) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/go", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range headers {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,><title>page</title>")
	})
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return strings.Replace(site.URL, "127.0.0.1", host, 1)
}

// TestForeignPages signs in on a page of an allowed origin, in token mode and in cookie mode. Then pages of foreign
// origins try everything in attempts. They cannot read a response, and each request is rejected and sets no cookie. In
// the end the session is as it was, no failed attempt is in the audit, and the rates of the user's address are unused.
func TestForeignPages(t *testing.T) {
	for _, mode := range []server.CookieMode{server.CookieOff, server.CookieLax} {
		for name, foreign := range map[string]struct {
			host    string
			headers http.Header
		}{
			"another origin of the site": {host: "localhost"},
			"another site":               {host: "127.0.0.1"},
			"a sandboxed page": {host: "localhost", headers: http.Header{
				"Content-Security-Policy": {"sandbox allow-scripts allow-forms"},
			}},
		} {
			t.Run("cookie "+string(mode)+", "+name, func(t *testing.T) {
				tryAll(t, mode, redirector(t, foreign.host, foreign.headers))
			})
		}
	}
}

// tryAll runs the attempts on a foreign page.
func tryAll(t *testing.T, mode server.CookieMode, foreign string) {
	ctx := browserFor(t, 3*time.Minute)
	app, log := redirector(t, "localhost", nil), &traffic{}
	started := newForeignPawl(t, mode, app, log)
	pawl := strings.Replace(started.URL, "127.0.0.1", "localhost", 1)
	login := cookieLogin
	if mode == server.CookieOff {
		login = tokenLogin
	}
	addresses := fmt.Sprintf("Object.assign(globalThis, { pawl: %q, app: %q, origin: %q });", pawl, app, foreign)
	visit(ctx, t, app, pawl)
	want(ctx, t, addresses+login, "200")
	log.take()
	for _, attempt := range attempts {
		t.Run(attempt.name, func(t *testing.T) {
			visit(ctx, t, foreign, pawl)
			scripts := addresses + attemptHelpers + "1"
			if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](scripts)); err != nil {
				t.Fatal(err)
			}
			want(ctx, t, attempt.script, "unreadable")
			if strings.HasPrefix(attempt.name, "navigation") {
				waitFor(ctx, t, fmt.Sprintf("location.href.startsWith(%q) && document.readyState === 'complete'", pawl))
			}
			checkArrivals(ctx, t, log, strings.HasPrefix(attempt.name, "never:"))
		})
	}
	visit(ctx, t, app, pawl)
	want(ctx, t, addresses+login, "200")
	checkUnharmed(t, started)
	if mode != server.CookieOff {
		want(ctx, t, refresh, "200")
		want(ctx, t, session, "200")
	}
}

// waitFor waits until an expression is true.
func waitFor(ctx context.Context, t *testing.T, expression string) {
	t.Helper()
	for {
		// An evaluation fails while the page changes.
		done, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if done && err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s stays false: %v", expression, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// newForeignPawl starts a server whose traffic is recorded, and whose rates suffice for the app only.
func newForeignPawl(t *testing.T, mode server.CookieMode, allowed string, log *traffic) *pawltest.Server {
	return pawltest.New(t, pawltest.WithHandler(log.wrap), pawltest.WithConfig(func(c *app.Config) {
		c.Cookie = mode
		c.AllowedOrigins = []string{allowed}
		c.Limits.LoginRate, c.Limits.RefreshRate = 2, 1
	}))
}

// checkArrivals waits until the requests of an attempt have arrived, and checks that each was rejected.
func checkArrivals(ctx context.Context, t *testing.T, log *traffic, never bool) {
	t.Helper()
	all := log.take()
	for deadline := time.Now().Add(10 * time.Second); len(all) == 0 && !never; all = log.take() {
		if time.Now().After(deadline) || ctx.Err() != nil {
			t.Error("no request arrived, so that the attempt shows nothing")
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, a := range all {
		preflight := a.Method == http.MethodOptions && a.response.Get("Access-Control-Allow-Origin") == ""
		if a.status < 400 && !preflight || len(a.response["Set-Cookie"]) > 0 || never {
			t.Errorf("the server answered %s", a)
		}
	}
}

// checkUnharmed checks that the first session is live in its first generation, and that the audit has two logins and
// nothing else of a session.
func checkUnharmed(t *testing.T, s *pawltest.Server) {
	t.Helper()
	admin := s.Client(client.WithAPIKey(s.AdminAPIKey))
	sessions, err := admin.Sessions(t.Context(), api.SessionsRequest{UserID: new(int64(pawltest.UserID))})
	if err != nil || len(sessions) != 2 || sessions[0].Refreshes+sessions[1].Refreshes != 0 {
		t.Errorf("sessions: %+v, %v", sessions, err)
	}
	events, err := admin.Audit(t.Context(), api.AuditRequest{RecordsPerPage: 500})
	if err != nil {
		t.Fatal(err)
	}
	logins := 0
	for _, e := range events {
		switch e.Kind {
		case api.EventLogin:
			logins++
		case api.EventStarted, api.EventUserCreated, api.EventAPIKeyCreated, api.EventSigningKeyCreated:
		default:
			t.Errorf("event: %+v", e)
		}
	}
	if logins != 2 {
		t.Errorf("%d logins, want 2", logins)
	}
}
