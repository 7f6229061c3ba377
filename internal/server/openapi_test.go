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
	s := newServer(Config{})
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
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(html, -1)
	var paths []string
	for _, link := range links {
		paths = append(paths, link[1])
	}
	want := []string{"/docs/docs.css", "/docs/docs.js", "/openapi.yaml", "/openapi.json"}
	if !slices.Equal(paths, want) {
		t.Errorf("/docs links to %v, want %v", paths, want)
	}
	if regexp.MustCompile(`<script[^>]*>[^<]|<style|\son\w+=|\sstyle=`).MatchString(html) {
		t.Error("/docs has an inline script or style")
	}
	get("/docs/docs.css", "text/css; charset=utf-8")
	script := get("/docs/docs.js", "text/javascript; charset=utf-8")
	if strings.Contains(script, "innerHTML") || strings.Contains(script, "http:") {
		t.Error("docs.js sets HTML or calls another server")
	}
}
