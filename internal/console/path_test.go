package console

import (
	"strings"
	"testing"
)

// TestCheckPath checks which paths the console can be at. A path of the API, and one with a second spelling, is
// rejected.
func TestCheckPath(t *testing.T) {
	for path, want := range map[string]string{
		DefaultPath: "", "/admin": "", "/admin/x": "", "/a-b_c~d.e/1": "", "/v2x": "", "/docs-internal": "",
		"/" + strings.Repeat("a", 63): "", "/" + strings.Repeat("a", 64): "lower case",
		"": "lower case", "/": "lower case", "console": "lower case", "/console/": "lower case", "//x": "lower case",
		"/a//b": "lower case", "/a/../b": "lower case", "/.": "lower case", "/./a": "lower case",
		"/Console": "lower case", "/a b": "lower case", "/a%2fb": "lower case", "/ü": "lower case",
		"/a?b": "lower case", "/a\n": "lower case", "/{id}": "lower case", "https://x/console": "lower case",
		"/v2": "/v2", "/v2/auth": "/v2", "/oauth2/x": "/oauth2", "/.well-known/x": "/.well-known",
		"/healthz": "/healthz", "/readyz": "/readyz", "/forward-auth": "/forward-auth", "/docs": "/docs",
		"/docs/x": "/docs", "/openapi.yaml": "/openapi.yaml", "/openapi.json": "/openapi.json",
		"/swagger": "/swagger", "/metrics": "/metrics",
	} {
		err := CheckPath(path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}
