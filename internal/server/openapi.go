package server

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/server/docs"
)

const (
	docsPath      = "/docs"
	docsStylePath = "/docs/docs.css"
	typeHTML      = "text/html; charset=utf-8"

	// docsPolicy lets a page run its own script and call its own server, and nothing else, because the page handles
	// tokens.
	docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// Each page is prepared on the first request for it.
var (
	openAPIYAML = sync.OnceValues(func() (page, error) {
		return newPage("application/yaml", "", []byte(api.OpenAPI())), nil
	})
	openAPIJSON = sync.OnceValues(func() (page, error) {
		text, err := yaml.YAMLToJSON([]byte(api.OpenAPI()))
		return newPage("application/json", "", text), err
	})
	docsScript = sync.OnceValues(func() (page, error) {
		return newPage("text/javascript; charset=utf-8", "", docs.Script), nil
	})
	docsStyle = sync.OnceValues(func() (page, error) {
		return newPage("text/css; charset=utf-8", "", docs.Style), nil
	})
)

// docsPage returns the API page. It is not shared by all servers, because it has the version of the program.
func (s *server) docsPage() func() (page, error) {
	return sync.OnceValues(func() (page, error) {
		text, err := docs.Page(s.build, s.prefix())
		return newPage(typeHTML, docsPolicy, text), err
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

// noPath answers a request for a path that does not exist. People with a browser get a page that leads to the API page,
// but not below the paths of the API, where every response has one form.
func (s *server) noPath(w http.ResponseWriter, r *http.Request) {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !get || !strings.Contains(r.Header.Get("Accept"), "text/html") || isAPI(r.URL.Path) {
		s.fail(w, r, errNoPath)
		return
	}
	h := w.Header()
	h.Set("Vary", "Accept")
	h.Set("Cache-Control", "no-store")
	if r.URL.Path == "/" {
		to := docsPath
		if s.console != nil {
			to = s.console.Path()
		}
		h.Set("Location", s.prefix()+to)
		w.WriteHeader(http.StatusFound)
		return
	}
	text, err := docs.Missing(s.prefix())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h.Set("Content-Type", typeHTML)
	h.Set("Content-Security-Policy", docsPolicy)
	h["X-Content-Type-Options"] = noSniff
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(text) // fails only if the client has disconnected
}

// isAPI reports whether the responses of a path have the form of the API or of OAuth.
func isAPI(path string) bool {
	return isOAuth(path) || path == "/v2" || strings.HasPrefix(path, "/v2/")
}

// prefix returns the path of the public URL, below which links begin, or "".
func (s *server) prefix() string {
	public, err := url.Parse(s.publicURL)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(public.Path, "/")
}
