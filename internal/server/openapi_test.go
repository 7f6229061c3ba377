package server

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/apicheck"
)

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// TestRoutesAreInTheFile: the server and openapi.yaml have the same calls.
func TestRoutesAreInTheFile(t *testing.T) {
	s := newServer(Config{})
	served := map[string]string{}
	for _, pattern := range s.paths {
		if slices.Contains([]string{"/healthz", "/readyz", "/forward-auth"}, pattern) {
			served[pattern] = "GET" // any, and this one is described
			continue
		}
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest("BREW", placeholder.ReplaceAllString(pattern, "1"), nil))
		served[placeholder.ReplaceAllString(pattern, "{}")] = strings.Replace(answer.Header().Get("Allow"), "GET, HEAD", "GET", 1)
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

// TestPages: the file in both forms, and the page that shows it, which runs no
// script but its own.
func TestPages(t *testing.T) {
	s := newServer(Config{})
	get := func(path, media string) string {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != 200 || answer.Header().Get("Content-Type") != media {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Header())
		}
		if path == "/docs" && !strings.HasPrefix(answer.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") {
			t.Errorf("%s: %s", path, answer.Header())
		}
		return answer.Body.String()
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
	if got := document.Paths["/v2/auth/refresh"]["post"].OperationID; got != "refresh" || len(document.Paths) != len(s.paths) {
		t.Errorf("/openapi.json has %q and %d paths", got, len(document.Paths))
	}
	html := get("/docs", "text/html; charset=utf-8")
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(html, -1)
	var paths []string
	for _, link := range links {
		paths = append(paths, link[1])
	}
	if want := []string{"/docs/docs.css", "/docs/docs.js", "/openapi.yaml", "/openapi.json"}; !reflect.DeepEqual(paths, want) {
		t.Errorf("/docs leads to %v, want %v", paths, want)
	}
	if regexp.MustCompile(`<script[^>]*>[^<]|<style|\son\w+=|\sstyle=`).MatchString(html) {
		t.Error("/docs has an inline script or style")
	}
	get("/docs/docs.css", "text/css; charset=utf-8")
	if js := get("/docs/docs.js", "text/javascript; charset=utf-8"); strings.Contains(js, "innerHTML") || strings.Contains(js, "http:") {
		t.Error("docs.js sets markup, or leaves the server")
	}
}
