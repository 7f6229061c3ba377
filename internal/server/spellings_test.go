package server

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestSpellings sends a request to each path in its canonical spelling, in upper case, and with a slash at its end. All
// must have the same response.
func TestSpellings(t *testing.T) {
	s := newServer(Config{})
	h := newLimiter(Config{}, s)
	answer := func(method, path string) string { // the pattern, the status, Allow, Location and the body
		r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
		r.Header.Set("X-Request-Id", "a")
		h.ServeHTTP(w, r)
		h := w.Header()
		return fmt.Sprintln(r.Pattern, w.Code, h.Get("Allow"), h.Get("Location"), w.Body)
	}
	pages := []string{"/docs", "/openapi.yaml", "/openapi.json", "/swagger/index.html", "/swagger/v2/swagger.json"}
	for _, pattern := range slices.Concat(s.paths, pages) {
		method := "BREW"
		if slices.Contains(pages, pattern) || pattern == healthPath {
			method = "GET"
		}
		if pattern == readyPath || pattern == forwardPath { // they would call the authority, which is nil here
			continue
		}
		path := placeholder.ReplaceAllString(pattern, "1")
		want := answer(method, path)
		if !strings.HasPrefix(strings.TrimPrefix(want, method+" "), pattern+" ") || strings.Contains(want, " 404 ") {
			t.Fatalf("%s %s: %.200s", method, path, want)
		}
		for _, spelling := range []string{
			strings.ToUpper(path), path + "/", strings.ToUpper(path) + "/", strings.ToUpper(path[:2]) + path[2:],
		} {
			if got := answer(method, spelling); got != want {
				t.Errorf("%s is answered\n%.200s\nwant\n%.200s", spelling, got, want)
			}
		}
	}
}

// TestEncodedPaths checks that a path with encoded letters is the path without them, and that an encoded slash is not.
func TestEncodedPaths(t *testing.T) {
	h := newLimiter(Config{}, newServer(Config{}))
	for path, want := range map[string]int{
		"/v2/auth/version": 200, "/v2/auth/%76ersion": 200, "/v2%2Fauth/version": 404, "/v2/auth%2fversion": 404,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

// TestCanonical checks the variable of a path, which keeps its case, and paths that stay as they are.
func TestCanonical(t *testing.T) {
	s := newServer(Config{})
	for path, want := range map[string]string{
		"/V2/Auth/Sessions/AbCd_-":     "/v2/auth/sessions/AbCd_-",
		"/v2/auth/sessions/AbCd/":      "/v2/auth/sessions/AbCd",
		"/v2/auth/Sessions/":           "/v2/auth/sessions",
		"/v2/users/ME":                 "/v2/users/me",
		"/V2/USERS/List":               "/v2/users/list",
		"/v2/users/%4Cist":             "/v2/users/List",
		"/v2/users/Reset/%2B1":         "/v2/users/Reset/+1",
		"/V2/users/reset/1/2":          "/V2/users/reset/1/2",
		"/v2/\u212aeys/list":           "/v2/\u212aeys/list",
		"/Forward-Auth":                "/forward-auth",
		"/Forward-Auth/":               "/Forward-Auth/",
		"/forward-auth/":               "/forward-auth/",
		"/forward-auth/A/":             "/forward-auth/A/",
		"/Forward-Auth/a":              "/Forward-Auth/a",
		"/V2%2fauth/login":             "/V2/auth/login",
		"/":                            "/",
		"//":                           "//",
		"/V2/AUTH/\xff":                "/V2/AUTH/\xff",
		"/v2/users/\xff/":              "/v2/users/\xff",
		"/.Well-Known/JWKS.json":       "/.well-known/jwks.json",
		"/oauth2/INTROSPECT/":          "/oauth2/introspect",
		"/v2/users/key-generate/12345": "/v2/users/key-generate/12345",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		if strings.Contains(path, "%") {
			r = httptest.NewRequest("GET", path, nil)
		}
		before := *r.URL
		if got := s.spellings.canonical(r).URL.Path; got != want {
			t.Errorf("%s becomes %q, want %q", path, got, want)
		}
		if *r.URL != before {
			t.Errorf("%s: the request was changed", path)
		}
	}
}
