package server

import (
	"embed"
	"net/http"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/pawlauth/pawl/api"
)

// docsFiles is the API page: it reads /openapi.json, and needs nothing from
// elsewhere.
//
//go:embed docs
var docsFiles embed.FS

// docsPolicy lets the page run its own script and call its own server, and
// nothing else. The page handles tokens.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// openAPIJSON is made on the first request for it.
var openAPIJSON = sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON([]byte(api.OpenAPI())) })

// describe adds the paths, outside /v2, that describe the contract.
func (s *Server) describe() {
	s.mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, r *http.Request) {
		page(w, "application/yaml", []byte(api.OpenAPI()))
	})
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		text, err := openAPIJSON()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		page(w, "application/json", text)
	})
	for path, file := range map[string]struct{ name, media string }{
		"/docs":          {"index.html", "text/html; charset=utf-8"},
		"/docs/docs.js":  {"docs.js", "text/javascript; charset=utf-8"},
		"/docs/docs.css": {"docs.css", "text/css; charset=utf-8"},
	} {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			text, err := docsFiles.ReadFile("docs/" + file.name)
			if err != nil {
				s.fail(w, r, err)
				return
			}
			if strings.HasPrefix(file.media, "text/html") {
				w.Header().Set("Content-Security-Policy", docsPolicy)
				w.Header().Set("Referrer-Policy", "no-referrer")
			}
			page(w, file.media, text)
		})
	}
}

func page(w http.ResponseWriter, media string, text []byte) {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-cache") // the next release has another one
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text) // the client is gone: nobody to tell
}
