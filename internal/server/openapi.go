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

// openAPIYAML and openAPIJSON are the two forms of the OpenAPI file. Each is prepared on the first request for it.
var (
	openAPIYAML = sync.OnceValues(func() (page, error) {
		return newPage("application/yaml", "", []byte(api.OpenAPI())), nil
	})
	openAPIJSON = sync.OnceValues(func() (page, error) {
		text, err := yaml.YAMLToJSON([]byte(api.OpenAPI()))
		return newPage("application/json", "", text), err
	})
)

// docsFile returns one file of the API page.
func docsFile(name, media string) func() (page, error) {
	return sync.OnceValues(func() (page, error) {
		text, err := docsFiles.ReadFile("docs/" + name)
		if strings.HasPrefix(media, "text/html") {
			return newPage(media, docsPolicy, text), err
		}
		return newPage(media, "", text), err
	})
}

// handlePage adds a path with a page.
func (s *server) handlePage(path string, prepare func() (page, error)) {
	s.spellings.add(path)
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		p, err := prepare()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		p.serve(w, r)
	})
}
