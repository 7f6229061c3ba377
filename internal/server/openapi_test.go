package server

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/apicheck"
)

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// TestRoutesMatchOpenAPI checks that the server and openapi.yaml have the same calls.
func TestRoutesMatchOpenAPI(t *testing.T) {
	s := newServer(Config{})
	served := map[string]string{}
	for _, pattern := range s.paths {
		if slices.Contains([]string{"/healthz", "/readyz", "/forward-auth"}, pattern) {
			served[pattern] = "GET" // it accepts every method, but openapi.yaml describes only one
			continue
		}
		response := httptest.NewRecorder()
		s.ServeHTTP(response, httptest.NewRequest("BREW", placeholder.ReplaceAllString(pattern, "1"), nil))
		allow := strings.Replace(response.Header().Get("Allow"), "GET, HEAD", "GET", 1)
		served[placeholder.ReplaceAllString(pattern, "{}")] = allow
	}
	described := map[string]string{}
	for path, item := range apicheck.Model(t).Paths.PathItems.FromOldest() {
		var methods []string
		for method := range item.GetOperations().KeysFromOldest() {
			methods = append(methods, strings.ToUpper(method))
		}
		slices.Sort(methods)
		described[placeholder.ReplaceAllString(path, "{}")] = strings.Join(methods, ", ")
	}
	if len(served) < 20 || !maps.Equal(served, described) {
		t.Errorf("the server has %v\nopenapi.yaml has %v", served, described)
	}
}

// TestDocsPages checks both forms of the OpenAPI file, and that the API page runs only its own script.
func TestDocsPages(t *testing.T) {
	s := newServer(Config{Build: "v1.2.3"})
	get := func(path, media string) string {
		response := httptest.NewRecorder()
		s.ServeHTTP(response, httptest.NewRequest("GET", path, nil))
		if response.Code != 200 || response.Header().Get("Content-Type") != media {
			t.Errorf("%s: %d %s", path, response.Code, response.Header())
		}
		policy := response.Header().Get("Content-Security-Policy")
		if path == "/docs" && !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") {
			t.Errorf("%s: Content-Security-Policy: %s", path, policy)
		}
		return response.Body.String()
	}
	if !strings.HasPrefix(get("/openapi.yaml", "application/yaml"), "openapi: 3.1.0\n") {
		t.Error("/openapi.yaml is not the file")
	}
	var document struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal([]byte(get("/openapi.json", "application/json")), &document); err != nil {
		t.Fatal(err)
	}
	operation := document.Paths["/v2/auth/refresh"]["post"].OperationID
	if operation != "refresh" || len(document.Paths) != len(s.paths) {
		t.Errorf("/openapi.json has the operation %q and %d paths", operation, len(document.Paths))
	}
	html := get("/docs", "text/html; charset=utf-8")
	var paths []string
	for _, link := range regexp.MustCompile(`(?:src|href|action)="([^"#][^"]*)"`).FindAllStringSubmatch(html, -1) {
		paths = append(paths, link[1])
	}
	want := []string{"/docs/docs.css", "/docs/docs.js", "/openapi.yaml", "/openapi.json"}
	if !slices.Equal(paths, want) {
		t.Errorf("/docs links to %v, want %v", paths, want)
	}
	if regexp.MustCompile(`<script[^>]*>[^<]|<style|\son\w+=|\sstyle=`).MatchString(html) {
		t.Error("/docs has an inline script or style")
	}
	if !strings.Contains(html, "v1.2.3") {
		t.Error("/docs does not show the version of Pawl")
	}
	get("/docs/docs.css", "text/css; charset=utf-8")
	script := get("/docs/docs.js", "text/javascript; charset=utf-8")
	if strings.Contains(script, "innerHTML") || strings.Contains(script, "http:") {
		t.Error("docs.js sets HTML or calls another server")
	}
}

// TestNoPath checks that a browser gets a page which leads to the API page, and that programs, and all clients below
// the paths of the API, get an error.
func TestNoPath(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, test := range []struct {
		method, path, accept string
		status               int
		body                 string // a part of it
	}{
		{"GET", "/nothing/here", browser, 404, `<a href="/pawl/docs">`},
		{"HEAD", "/nothing/here", browser, 404, ""},
		{"GET", "/<script>", browser, 404, `<a href="/pawl/docs">`},
		{"GET", "/", browser, 302, ""},
		{"GET", "/nothing", "*/*", 404, `"errorCode":"ObjectNotFound"`},
		{"GET", "/", "", 404, `"errorCode":"ObjectNotFound"`},
		{"POST", "/nothing", browser, 404, `"errorCode":"ObjectNotFound"`},
		{"GET", "/v2/nothing", browser, 404, `"errorCode":"ObjectNotFound"`},
		{"GET", "/oauth2/nothing", browser, 404, `"error":"invalid_request"`},
	} {
		s := newServer(Config{PublicURL: "https://example.com/pawl"})
		r, w := httptest.NewRequest(test.method, "/", nil), httptest.NewRecorder()
		r.URL.Path = test.path
		r.Header.Set("Accept", test.accept)
		s.ServeHTTP(w, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) {
			t.Errorf("%s %s for %q: %d %s", test.method, test.path, test.accept, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "<script>") {
			t.Errorf("%s: the page has the path of the request", test.path)
		}
		if w.Code == 302 && w.Header().Get("Location") != "/pawl/docs" {
			t.Errorf("/ redirects to %s", w.Header().Get("Location"))
		}
	}
}

// TestPathPrefix checks that a server with a path in its public URL answers below the path too, for gateways that do
// not remove it.
func TestPathPrefix(t *testing.T) {
	h := newLimiter(Config{}, newServer(Config{PublicURL: "https://example.com/pawl"}))
	for path, status := range map[string]int{
		"/docs": 200, "/pawl/docs": 200, "/pawl/docs/docs.css": 200, "/pawl/Docs/": 200, "/pawl/openapi.json": 200,
		"/pawl/healthz": 200, "/pawl/v2/auth/version": 200, "/v2/auth/version": 200,
		"/pawl/nothing": 404, "/pawl/pawl/docs": 404, "/pawlx/docs": 404, "/paw": 404, "/other/docs": 404,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
	for _, path := range []string{"/pawl", "/pawl/"} {
		r, w := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
		r.Header.Set("Accept", "text/html")
		h.ServeHTTP(w, r)
		if w.Code != 302 || w.Header().Get("Location") != "/pawl/docs" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}
