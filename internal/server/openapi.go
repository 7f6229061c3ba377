package server

import (
	"embed"
	"net/http"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/pawlauth/pawl/api"
)

// docsFiles has the API page. It reads /openapi.json, and loads nothing from other sites.
//
//go:embed docs
var docsFiles embed.FS

// docsPolicy lets the page run its own script and call its own server, and nothing else, because the page handles
// tokens.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// convertOpenAPI converts the OpenAPI file to JSON once, on the first request for it.
var convertOpenAPI = sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON([]byte(api.OpenAPI())) })

func (s *server) openAPIYAML(w http.ResponseWriter, _ *http.Request) {
	writePage(w, "application/yaml", []byte(api.OpenAPI()))
}

func (s *server) openAPIJSON(w http.ResponseWriter, r *http.Request) {
	text, err := convertOpenAPI()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writePage(w, "application/json", text)
}

// docsFile returns a handler for one file of the API page.
func (s *server) docsFile(name, media string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := docsFiles.ReadFile("docs/" + name)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if strings.HasPrefix(media, "text/html") {
			w.Header().Set("Content-Security-Policy", docsPolicy)
			w.Header().Set("Referrer-Policy", "no-referrer")
		}
		writePage(w, media, text)
	}
}

func writePage(w http.ResponseWriter, media string, text []byte) {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-cache") // because the next release has other pages
	h["X-Content-Type-Options"] = noSniff
	_, _ = w.Write(text) // fails only if the client has disconnected
}
