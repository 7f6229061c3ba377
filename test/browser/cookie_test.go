package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// emptyPage serves an empty page, and returns its origin with this host name.
func emptyPage(t *testing.T, host string) string {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,><title>page</title>")
	}))
	t.Cleanup(page.Close)
	return strings.Replace(page.URL, "127.0.0.1", host, 1)
}

// newCookiePawl starts a server with cookies and one allowed origin. It returns its address with this host name.
func newCookiePawl(t *testing.T, mode server.CookieMode, allowed, host string) string {
	pawl := pawltest.New(t, pawltest.WithConfig(func(c *app.Config) {
		c.Cookie = mode
		if allowed != "" {
			c.AllowedOrigins = []string{allowed}
		}
	}))
	return strings.Replace(pawl.URL, "127.0.0.1", host, 1)
}

// visit opens a page and defines call(method, path, body, mode) in it, for calls of the server with the cookie. call
// returns the status and the errorCode, or "unreadable" if the browser keeps the response from the script.
func visit(ctx context.Context, t *testing.T, page, pawl string) {
	t.Helper()
	script := `globalThis.call = async (method, path, body, mode = "cors") => {
		const headers = mode === "cors" && body !== undefined ? { "Content-Type": "application/json" } : {};
		try {
			const init = { method, headers, mode, credentials: "include", body };
			const response = await fetch("` + pawl + `" + path, init);
			if (response.type === "opaque") return "unreadable";
			return (response.status + " " + (await response.json()).errorCode).trim();
		} catch {
			return "unreadable";
		}
	}; 1`
	err := chromedp.Do(ctx, chromedp.Navigate(page), chromedp.Evaluate[chromedp.Void](script))
	if err != nil {
		t.Fatal(err)
	}
}

// want runs a script that returns a text, and compares the text.
func want(ctx context.Context, t *testing.T, script, want string) {
	t.Helper()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil || got != want {
		t.Errorf("%s\nreturns %q, %v, want %q", script, got, err, want)
	}
}

const (
	cookieLogin = `call("POST", "/v2/auth/login", JSON.stringify(
		{ login: "` + pawltest.Login + `", password: "` + pawltest.Password + `", cookie: true }))`
	session = `call("POST", "/v2/auth/session")`
	refresh = `call("POST", "/v2/auth/refresh")`
	logout  = `call("POST", "/v2/auth/logout")`
)

// TestCookieOnLoopback checks that Chromium keeps the cookie of a server on loopback without TLS, although the cookie
// is Secure, and that no script can read it.
func TestCookieOnLoopback(t *testing.T) {
	for _, host := range []string{"localhost", "127.0.0.1"} {
		for _, mode := range []server.CookieMode{server.CookieLax, server.CookieStrict} {
			t.Run(host+" "+string(mode), func(t *testing.T) {
				ctx, pawl := browser(t), newCookiePawl(t, mode, "", host)
				visit(ctx, t, pawl+"/docs", pawl)
				want(ctx, t, session, "401 InvalidSession")
				want(ctx, t, cookieLogin, "200")
				want(ctx, t, "document.cookie", "")
				want(ctx, t, session, "200")
				want(ctx, t, `Promise.all([1, 2, 3].map(() => `+refresh+`)).then(String)`, "200,200,200")
				want(ctx, t, session, "200")
				want(ctx, t, logout, "200")
				want(ctx, t, session, "401 InvalidSession")
			})
		}
	}
}

// TestCookieOfOrigins signs in on a page of an allowed origin. Pages of other origins, of the same site and of another
// one, try to read, call, refresh, sign out, and sign in as another user. None succeeds, and the session continues.
func TestCookieOfOrigins(t *testing.T) {
	ctx := browser(t)
	page := emptyPage(t, "localhost")
	sameSite, otherSite := emptyPage(t, "localhost"), emptyPage(t, "127.0.0.1")
	pawl := newCookiePawl(t, server.CookieLax, page, "localhost")
	visit(ctx, t, page, pawl)
	want(ctx, t, cookieLogin, "200")
	want(ctx, t, session, "200")
	want(ctx, t, refresh, "200")
	want(ctx, t, `call("GET", "/v2/users/9")`, "404 ObjectNotFound") // the script can read an error
	for name, origin := range map[string]string{"same site": sameSite, "other site": otherSite} {
		t.Run(name, func(t *testing.T) {
			visit(ctx, t, origin, pawl)
			for _, attempt := range []string{
				session, refresh, logout, cookieLogin, `call("GET", "/v2/users/me")`,
				`call("PUT", "/v2/auth/password", "{}")`, `call("DELETE", "/v2/auth/sessions/x")`,
				`call("POST", "/v2/auth/refresh", undefined, "no-cors")`,
				`call("POST", "/v2/auth/refresh", "{}", "no-cors")`,
				`call("POST", "/v2/auth/logout", undefined, "no-cors")`,
				`call("GET", "/v2/users/me", undefined, "no-cors")`,
				`call("POST", "/v2/auth/login", '{"login":"x","password":"y","cookie":true}', "no-cors")`,
			} {
				want(ctx, t, attempt, "unreadable")
			}
			form := `(() => { const form = document.createElement("form");
				form.method = "POST"; form.action = "` + pawl + `/v2/auth/logout";
				document.body.append(form); form.submit(); return ""; })()`
			want(ctx, t, form, "")
			if err := chromedp.Do(ctx, chromedp.WaitReady("pre")); err != nil { // Chromium shows JSON in a pre
				t.Fatal(err)
			}
			shown, err := chromedp.Run(ctx, chromedp.TextContent("pre"))
			if err != nil || strings.Contains(shown, `"success":true`) {
				t.Errorf("a form is answered %s, %v", shown, err)
			}
			visit(ctx, t, page, pawl)
			want(ctx, t, session, "200")
		})
	}
	visit(ctx, t, page, pawl)
	want(ctx, t, refresh, "200")
	want(ctx, t, logout, "200")
	want(ctx, t, session, "401 InvalidSession")
}
