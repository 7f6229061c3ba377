package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

const (
	appOrigin   = "https://app.example.com"
	otherOrigin = "https://evil.example"
)

// allowing allows one origin.
var allowing = pawltest.WithConfig(func(c *app.Config) { c.AllowedOrigins = []string{appOrigin} })

// preflight asks, as a browser does, whether a script may send a request with these headers.
func (b *browser) preflight(origin, method, path, headers string) http.Header {
	b.Helper()
	sent := []string{"Origin: " + origin, "Access-Control-Request-Method: " + method}
	if headers != "" {
		sent = append(sent, "Access-Control-Request-Headers: "+headers)
	}
	resp, text := b.send("OPTIONS", path, "", sent...)
	if resp.StatusCode != http.StatusNoContent || text != "" || resp.Header.Get("X-Request-Id") == "" {
		b.Errorf("the preflight of %s %s is answered %d %v %q", method, path, resp.StatusCode, resp.Header, text)
	}
	return resp.Header
}

// corsHeaders returns the headers of a response that a browser reads for CORS, without Vary.
func corsHeaders(h http.Header) string {
	var found []string
	for _, name := range []string{
		"Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Expose-Headers", "Max-Age",
	} {
		for _, value := range h["Access-Control-"+name] {
			found = append(found, name+": "+value)
		}
	}
	return strings.Join(found, "; ")
}

// TestPreflights sends the preflight of each call from an allowed origin and from another one.
func TestPreflights(t *testing.T) {
	b := &browser{t, pawltest.New(t, allowing)} // without the OpenAPI check, because OpenAPI describes no preflight
	const headers = "authorization,content-type,idempotency-key,x-api-key"
	for path, item := range apicheck.Model(t).Paths.PathItems.FromOldest() {
		isCall := strings.HasPrefix(path, "/v2/") || strings.HasPrefix(path, "/oauth2/")
		if !isCall {
			continue
		}
		for method := range item.GetOperations().KeysFromOldest() {
			method = strings.ToUpper(method)
			want := "Allow-Origin: " + appOrigin + "; Allow-Methods: " + method + "; Allow-Headers: " + headers +
				"; Max-Age: 7200"
			for _, path := range []string{path, strings.ToUpper(path) + "/"} {
				if got := corsHeaders(b.preflight(appOrigin, method, path, headers)); got != want {
					t.Errorf("%s %s: %s", method, path, got)
				}
				for _, origin := range []string{
					otherOrigin, "null", "http://app.example.com", appOrigin + ":8443", "HTTPS://app.example.com",
					"https://x.app.example.com", appOrigin + ".evil.example", appOrigin + ",https://evil.example",
				} {
					if got := corsHeaders(b.preflight(origin, method, path, headers)); got != "" {
						t.Errorf("%s %s from %s: %s", method, path, origin, got)
					}
				}
			}
		}
	}
	for name, h := range map[string]http.Header{
		"another method": b.preflight(appOrigin, "PATCH", "/v2/users", ""),
		"another header": b.preflight(appOrigin, "GET", "/v2/users/me", "x-forwarded-for"),
	} {
		if got := corsHeaders(h); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if h := b.preflight(appOrigin, "GET", "/v2/nothing", ""); corsHeaders(h) == "" || len(h["Vary"]) == 0 {
		t.Errorf("a preflight of a path that does not exist: %v", h)
	}
}

// TestCrossOriginResponses checks the headers of successes and errors for an allowed origin, another one, and none.
func TestCrossOriginResponses(t *testing.T) {
	const allowed = "Allow-Origin: " + appOrigin + "; " +
		"Expose-Headers: Date, Etag, Retry-After, Www-Authenticate, X-Request-Id"
	b := start(t, allowing, pawltest.WithConfig(func(c *app.Config) { c.Limits.RefreshRate = 2 }))
	user := bearer(b.login())
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"a success":        {"POST", "/v2/auth/session", "", 200},
		"a bad request":    {"POST", "/v2/users/list", `{"pageNo":0}`, 400},
		"no credentials":   {"GET", "/v2/users/me", "", 401},
		"access denied":    {"POST", "/v2/users/password", `{"userId":4822,"newPassword":"N3w$ecret!"}`, 403},
		"an unknown path":  {"GET", "/v2/nothing", "", 404},
		"an unclean path":  {"GET", "/v2//auth/version", "", 404},
		"a wrong method":   {"GET", "/v2/auth/login", "", 405},
		"a large body":     {"POST", "/v2/users/list", strings.Repeat(" ", 17<<10), 413},
		"no OAuth client":  {"POST", "/oauth2/introspect", "token=x", 401},
		"a missing object": {"GET", "/v2/users/9", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{user}
			if c.status == 401 {
				headers = nil
			}
			if strings.HasPrefix(c.path, "/oauth2/") {
				headers = append(headers, "Content-Type: application/x-www-form-urlencoded")
			}
			for origin, want := range map[string]string{appOrigin: allowed, otherOrigin: "", "null": "", "": ""} {
				sent := headers
				if origin != "" {
					sent = append([]string{"Origin: " + origin}, headers...)
				}
				resp, text := b.send(c.method, c.path, c.body, sent...)
				if got := corsHeaders(resp.Header); resp.StatusCode != c.status || got != want {
					t.Errorf("from %q: %d %s %s, want %d %s", origin, resp.StatusCode, got, text, c.status, want)
				}
				if vary := resp.Header.Get("Vary"); vary != "Origin" {
					t.Errorf("from %q: Vary is %q", origin, vary)
				}
			}
		})
	}
	t.Run("too many requests", func(t *testing.T) {
		for b.send("POST", "/v2/auth/refresh", "{}"); ; {
			resp, _ := b.send("POST", "/v2/auth/refresh", "{}", "Origin: "+appOrigin)
			if got := corsHeaders(resp.Header); got != allowed {
				t.Fatalf("%d %s", resp.StatusCode, got)
			}
			if resp.StatusCode == 429 {
				break
			}
		}
	})
}

// TestOriginsOff checks that no call has a header for any origin unless the setting allows one.
func TestOriginsOff(t *testing.T) {
	b := start(t)
	for _, origin := range []string{appOrigin, "null", b.URL} {
		resp, _ := b.send("GET", "/v2/auth/version", "", "Origin: "+origin)
		if got := corsHeaders(resp.Header); got != "" || resp.Header.Get("Vary") != "" {
			t.Errorf("from %s: %s, Vary %q", origin, got, resp.Header.Get("Vary"))
		}
	}
}

// TestPublicDocuments checks that every origin may read the public documents, whatever the setting is, and no other
// path.
func TestPublicDocuments(t *testing.T) {
	for name, options := range map[string][]pawltest.Option{"off": nil, "on": {allowing}} {
		t.Run(name, func(t *testing.T) {
			b := &browser{t, pawltest.New(t, options...)}
			for _, path := range []string{
				"/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/openapi.yaml", "/openapi.json",
				"/.Well-Known/JWKS.json/", "/.well-known/nothing",
			} {
				for _, origin := range []string{appOrigin, otherOrigin, "null"} {
					resp, _ := b.send("GET", path, "", "Origin: "+origin)
					if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "*" {
						t.Errorf("%s from %s: Access-Control-Allow-Origin is %q", path, origin, got)
					}
					h := b.preflight(origin, "GET", path, "if-none-match,x-custom")
					want := "Allow-Origin: *; Allow-Methods: GET; Allow-Headers: if-none-match,x-custom; Max-Age: 7200"
					if got := corsHeaders(h); got != want {
						t.Errorf("the preflight of %s from %s: %s", path, origin, got)
					}
					if got := corsHeaders(b.preflight(origin, "POST", path, "")); got != "" {
						t.Errorf("the preflight of a POST of %s from %s: %s", path, origin, got)
					}
				}
			}
			for _, path := range []string{"/docs", "/docs/docs.js", "/healthz", "/readyz", "/forward-auth", "/", "/x"} {
				resp, _ := b.send("GET", path, "", "Origin: "+appOrigin, apiKey(b.APIKey))
				if got := corsHeaders(resp.Header); got != "" {
					t.Errorf("%s: %s", path, got)
				}
			}
		})
	}
}

// TestPreflightHasNoEffect sends preflights with credentials and bodies from another origin while the server is at
// capacity. They count in no limit, change nothing, and are not in the audit.
func TestPreflightHasNoEffect(t *testing.T) {
	b := &browser{t, pawltest.New(t, allowing, pawltest.WithConfig(func(c *app.Config) {
		c.Limits.LoginRate, c.Limits.RefreshRate = 1, 1
	}))}
	token := data[api.Token](b, "POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password)).Token
	for _, origin := range []string{otherOrigin, appOrigin} {
		for path, body := range map[string]string{
			"/v2/auth/login":   credentials(pawltest.Login, "wrong"),
			"/v2/auth/refresh": tokenBody(token),
			"/v2/auth/logout":  "",
		} {
			for range 3 {
				resp, text := b.send("OPTIONS", path, body, "Origin: "+origin, bearer(token),
					"Access-Control-Request-Method: POST")
				if resp.StatusCode != 204 || text != "" {
					t.Errorf("%s from %s: %d %s", path, origin, resp.StatusCode, text)
				}
			}
		}
	}
	if events := b.audit("kind=loginFailed", b.admin()); len(events) != 0 {
		t.Errorf("%d failed attempts were counted", len(events))
	}
	b.session(200, token)
	b.refresh(200, token)
}

// TestNoOriginCostsNothing compares the allocations of a request without Origin, with the setting and without it.
func TestNoOriginCostsNothing(t *testing.T) {
	var allocations []float64
	for _, origins := range [][]string{nil, {appOrigin}} {
		a, err := app.Open(t.Context(), app.Config{
			Store: app.StoreAddress{Folder: t.TempDir()}, Argon2: password.Params{MemoryKiB: 64, Passes: 1},
			AllowedOrigins: origins,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		user := authority.User{
			Login: pawltest.Login, Email: pawltest.Login, Level: authority.MailboxUser, Status: authority.Active,
		}
		_, key, err := a.Authority.Bootstrap(t.Context(), user, pawltest.Password)
		if err != nil {
			t.Fatal(err)
		}
		w, r := &silent{header: http.Header{}}, httptest.NewRequest("POST", "/v2/auth/session", nil)
		r.Header.Set("X-API-Key", key)
		allocations = append(allocations, testing.AllocsPerRun(1000, func() {
			clear(w.header)
			a.Handler.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				t.Fatal(w.status)
			}
		}))
	}
	if allocations[0] != allocations[1] {
		t.Errorf("%v allocations without allowed origins, %v with one", allocations[0], allocations[1])
	}
}

// TestCheckOrigins checks which origins are accepted, and that the error for any other one has the remedy.
func TestCheckOrigins(t *testing.T) {
	const exact = "is not as browsers send it"
	for name, c := range map[string]struct {
		origins string
		secure  bool
		problem string
	}{
		"https":                    {"https://app.example.com", true, ""},
		"a port":                   {"https://app.example.com:8443", true, ""},
		"several":                  {"https://a.example https://b.example:444", true, ""},
		"Punycode":                 {"https://xn--bcher-kva.example", true, ""},
		"an IPv4 address":          {"https://192.0.2.7", true, ""},
		"an IPv6 address":          {"https://[2001:db8::7]:8443", true, ""},
		"http alone":               {"http://app.example.com http://b.example:81", false, ""},
		"http on loopback":         {"https://a.example http://localhost:5173 http://127.0.0.1:3000", true, ""},
		"http on loopback by name": {"http://app.localhost:5173 http://[::1]:5173", true, ""},
		"http beside https":        {"https://a.example http://b.example", false, "not safe beside HTTPS"},
		"http with a TLS server":   {"http://a.example", true, "not safe beside HTTPS"},
		"http like loopback":       {"http://localhost.example", true, "not safe beside HTTPS"},
		"any":                      {"*", false, "name each origin"},
		"a wildcard":               {"https://*.example.com", false, "name each origin"},
		"null":                     {"null", false, "sandboxed page"},
		"a slash":                  {"https://a.example/", false, "write https://a.example"},
		"a path":                   {"https://a.example/app", false, "write https://a.example"},
		"a query":                  {"https://a.example?x", false, "write https://a.example"},
		"a fragment":               {"https://a.example#", false, "write https://a.example"},
		"a user":                   {"https://me@a.example", false, "write https://a.example"},
		"upper case":               {"https://A.example", false, exact},
		"an upper-case scheme":     {"HTTPS://a.example", false, exact},
		"the default port":         {"https://a.example:443", false, exact + "; write https://a.example"},
		"the port of http":         {"http://localhost:80", false, exact + "; write http://localhost"},
		"an empty port":            {"https://a.example:", false, exact},
		"a large port":             {"https://a.example:65536", false, "port that does not exist"},
		"port 0":                   {"https://a.example:0", false, "port that does not exist"},
		"a zero before the port":   {"https://a.example:08443", false, exact},
		"a long IPv6 address":      {"https://[2001:db8:0::7]", false, exact + "; write https://[2001:db8::7]"},
		"not ASCII":                {"https://bücher.example", false, "xn--"},
		"an escape":                {"https://%61.example", false, "such as https://app.example.com"},
		"no scheme":                {"app.example.com", false, "such as https://app.example.com"},
		"another scheme":           {"chrome-extension://abc", false, "such as https://app.example.com"},
		"no host":                  {"https://", false, "such as https://app.example.com"},
		"no text":                  {"", false, "such as https://app.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := server.CheckOrigins(strings.Split(c.origins, " "), c.secure)
			switch {
			case c.problem == "" && len(errs) > 0:
				t.Error(errs)
			case c.problem != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), c.problem)):
				t.Errorf("%v, want %q", errs, c.problem)
			}
		})
	}
}
