// Package console is the admin console: pages, rendered on the server, over the same authority as the API. Every action
// passes through the authority with the rights of the signed-in user, so the console can do nothing that the API denies
// to that user.
//
// A request passes CrossOriginProtection and the adapter of this file, which authenticates the session cookie
// (cookie.go) and renders the result (render.go). Each page has a file, and a template in pages. Each English text of
// the console is in english.go; the authority has the messages that the API shares. The script (console.js) adds
// comfort only: each page can be read, and each session can be ended, without it.
package console

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	pathpkg "path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/metrics"
)

// DefaultPath is where the console is if no setting moves it.
const DefaultPath = "/console"

// Config configures New. Authority and Clock are required; every other field is optional.
type Config struct {
	Authority *authority.Authority
	// Path is where the console is, without a slash at the end. If empty, it is DefaultPath.
	Path string
	// PublicURL is as in server.Config. The links of the console begin with its path.
	PublicURL string
	Clock     func() time.Time
	// Recent has the counts of the last hour. If nil, there is no overview.
	Recent *metrics.Recent
	// Setup lets the console create the first administrator, if the store has none. See BeginSetup.
	Setup bool
	// Build is the version of the program.
	Build string
	// Settings are shown on a page.
	Settings []Setting
	// Log receives internal errors. If nil, they are discarded.
	Log *slog.Logger
}

// Console is the handler of the console. It is safe for concurrent use.
type Console struct {
	authority *authority.Authority
	path      string // of the requests
	base      string // of the links: the path of the public URL, and path
	https     bool   // whether the public URL has HTTPS
	clock     func() time.Time
	log       *slog.Logger
	guard     *http.CrossOriginProtection
	mux       *http.ServeMux
	patterns  []string // of mux
	pages     pages
	links     links
	setup     *setup // nil without Config.Setup
	settings  []Setting
	recent    *metrics.Recent // nil: no overview
	build     string
}

// New returns a console.
func New(config Config) *Console {
	c := &Console{
		authority: config.Authority, path: config.Path, clock: config.Clock, log: config.Log,
		guard: http.NewCrossOriginProtection(), mux: http.NewServeMux(), settings: config.Settings,
		recent: config.Recent, build: config.Build,
	}
	if config.Setup {
		c.setup = new(setup)
	}
	if c.path == "" {
		c.path = DefaultPath
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if public, err := url.Parse(config.PublicURL); err == nil && public.Host != "" {
		c.base = strings.TrimSuffix(public.Path, "/")
		c.https = public.Scheme == "https"
		_ = c.guard.AddTrustedOrigin(public.Scheme + "://" + public.Host) // fails only for a text that is no origin
	}
	c.base += c.path
	c.pages = c.parsePages()
	c.routes()
	return c
}

// Path returns where the console is.
func (c *Console) Path() string { return c.path }

// Routes returns the pattern of every route, such as "GET /people/{id}", with a path below that of the console.
func (c *Console) Routes() []string { return slices.Clone(c.patterns) }

// SignInPaths returns the paths whose POST requests are sign-ins, for a rate limit.
func (c *Console) SignInPaths() []string { return []string{c.path + "/sign-in", c.path + "/setup"} }

// routes adds every path. A public page is open to all clients; every other one needs a sign-in.
func (c *Console) routes() {
	c.public("GET /sign-in", c.signInPage)
	c.public("POST /sign-in", c.signIn)
	c.public("GET /enter", c.enter)
	c.public("POST /sign-out", c.signOut)
	c.public("GET /setup", c.setupPage)
	c.public("POST /setup", c.createFirst)

	c.signedIn("GET /{$}", c.home)
	c.signedIn("GET /people", c.people)
	c.form("/people/new", c.newPersonForm, c.createPerson)
	c.signedIn("GET /people/{id}", c.person)
	c.form("/people/{id}/edit", c.editForm, c.edit)
	c.form("/people/{id}/role", c.roleForm, c.setRole)
	c.form("/people/{id}/password", c.passwordForm, c.setPassword)
	c.action("/people/{id}/suspend", c.askStatus("suspend"), c.setStatus(authority.Suspended, "suspended"))
	c.action("/people/{id}/resume", c.askStatus("resume"), c.setStatus(authority.Active, "resumed"))
	c.action("/people/{id}/remove", c.askStatus("remove"), c.removePerson)
	c.form("/people/{id}/keys", c.keyForm, c.createKey)
	c.action("/people/{id}/keys/{key}/remove", c.askRemoveKey, c.removeKey)
	c.action("/people/{id}/end-all", c.askEndAll, c.endAll)
	c.action("/people/{id}/sessions/{session}/end", c.askEndSession, c.endSession)

	c.signedIn("GET /sessions", c.sessions)
	c.action("/sessions/end", c.askEndSelected, c.endSelected)
	c.signedIn("GET /audit", c.audit)
	c.signedIn("GET /audit/csv", c.exportAs("text/csv; charset=utf-8", "pawl-audit.csv", exportCSV))
	c.signedIn("GET /audit/jsonl", c.exportAs("application/jsonl", "pawl-audit.jsonl", exportJSON))

	c.signedIn("GET /signing-keys", c.signingKeys)
	c.action("/signing-keys/rotate", c.askRotateKey, c.rotateKey)
	c.action("/signing-keys/{key}/retire", c.askRetireKey, c.retireKey)
	c.signedIn("GET /settings", c.showSettings)

	c.static("/console.css", typeCSS, style)
	c.static("/console.js", typeScript, script)
	c.static("/icon.svg", "image/svg+xml", icon)
}

// handler answers a request. The context has the deadline of the request.
type handler func(ctx context.Context, r *request) (response, error)

// request is a request with the signed-in user. A public page has no user.
type request struct {
	*http.Request
	caller authority.Caller
}

// response is a page, or the path of the page to show next.
type response struct {
	page   string // the name of a template
	title  string
	data   any
	status int                               // 0 is 200
	next   string                            // a path of the console
	stream func(w http.ResponseWriter) error // writes a file instead of a page; or nil
	cookie string                            // the value of Set-Cookie, or ""
	wait   time.Duration                     // for Retry-After, or 0
}

// next returns the response that leads to a page, with a notice there. The path may have a query. The notice is a key
// of english.go; "" is none.
func next(path, notice string) response {
	if notice == "" {
		return response{next: path}
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return response{next: path + separator + "done=" + notice}
}

// here returns the path and query of the request, without the notice of an earlier action, for the parameter back.
func (r *request) here() string {
	query := r.URL.Query()
	query.Del("done")
	here := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	return here.String()
}

// back returns the page from which a question was opened, or another one if the parameter has no page of the console.
func (c *Console) back(r *request, otherwise string) string {
	if path := c.localPath(c.base + r.FormValue("back")); path != "/" {
		return path
	}
	return otherwise
}

// maxForm is the size of a form in bytes. The longest one has a few fields of some hundred characters.
const maxForm = 64 << 10

func (c *Console) public(pattern string, h handler) {
	c.handle(pattern, func(w http.ResponseWriter, r *http.Request) {
		c.answer(w, &request{Request: r}, h)
	})
}

func (c *Console) signedIn(pattern string, h handler) {
	c.handle(pattern, func(w http.ResponseWriter, r *http.Request) {
		caller, err := c.authenticate(w, r)
		if err != nil {
			c.fail(w, &request{Request: r}, err)
			return
		}
		c.answer(w, &request{Request: r, caller: caller}, h)
	})
}

// action adds a path that changes something. A GET asks for a confirmation, and a POST does it.
func (c *Console) action(path string, ask, act handler) {
	c.signedIn("GET "+path, ask)
	c.signedIn("POST "+path, act)
}

func (c *Console) handle(pattern string, h http.HandlerFunc) {
	c.patterns = append(c.patterns, pattern)
	c.mux.HandleFunc(pattern, h)
}

// ServeHTTP answers a request for a path of the console.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	if err := c.guard.Check(r); err != nil {
		c.fail(w, &request{Request: r}, errForeignPage)
		return
	}
	inner := c.inner(w, r)
	if c.setupRoute(w, inner) {
		return
	}
	if _, pattern := c.mux.Handler(inner); pattern == "" {
		caller, _ := c.authenticate(w, inner) // so that the page has the menu; a guest gets none
		c.fail(w, &request{Request: inner, caller: caller}, errNoPage)
		return
	}
	c.mux.ServeHTTP(w, inner)
}

// Reject answers a request that the server has rejected before ServeHTTP, with the page of the error. A sign-in that
// must wait gets its form again.
func (c *Console) Reject(w http.ResponseWriter, r *http.Request, err error) {
	setHeaders(w.Header())
	inner := &request{Request: c.inner(w, r)}
	kind := fault.KindOf(err)
	if r.Method != http.MethodPost || kind != fault.RateLimited && kind != fault.Unavailable {
		c.fail(w, inner, err)
		return
	}
	if kind == fault.RateLimited { // a full server must not wait for the form
		_ = inner.ParseForm() // the fields of an unreadable form are empty
	} else {
		inner.PostForm = url.Values{}
	}
	switch inner.URL.Path {
	case "/sign-in":
		form := signInForm{Login: inner.PostForm.Get("login"), Next: inner.PostForm.Get("next")}
		c.render(w, inner, rejectedSignIn(form, err))
	case "/setup":
		form := setupForm{Code: inner.PostForm.Get("code"), Login: inner.PostForm.Get("login")}
		c.render(w, inner, rejectedSetup(form, err))
	default:
		c.fail(w, inner, err)
	}
}

// inner returns a copy of a request with its path below that of the console, because a handler must not change its
// request.
func (c *Console) inner(w http.ResponseWriter, r *http.Request) *http.Request {
	inner := *r
	inner.URL = new(url.URL)
	*inner.URL = *r.URL
	inner.URL.Path, inner.URL.RawPath = cmp.Or(strings.TrimPrefix(r.URL.Path, c.path), "/"), ""
	inner.Body = http.MaxBytesReader(w, r.Body, maxForm)
	return &inner
}

// policy lets a page load the console's own style and script, and send forms to the console, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would hide the Origin of a form
	h.Set("Cache-Control", "no-store")
}

var (
	errForeignPage = fault.New(fault.AccessDenied, t("error.foreign-page"))
	errNoPage      = fault.New(fault.NotFound, t("error.no-page"))
	errForm        = fault.Invalid(t("error.form"))
)

// answer runs a handler and writes its response.
func (c *Console) answer(w http.ResponseWriter, r *request, h handler) {
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			c.fail(w, r, errForm)
			return
		}
	}
	result, err := h(r.Context(), r)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	if result.cookie != "" {
		w.Header().Add("Set-Cookie", result.cookie)
	}
	if result.stream != nil {
		if err := result.stream(w); err != nil {
			c.log.WarnContext(r.Context(), "export stopped early", "err", err)
			panic(http.ErrAbortHandler) // so that the client does not take the file for complete
		}
		return
	}
	if result.next != "" {
		w.Header().Set("Location", c.base+result.next)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	c.render(w, r, result)
}

// publicPath matches the paths that need no escapes.
var publicPath = regexp.MustCompile(`^(/[a-z0-9._~-]+)+$`)

// CheckPath returns an error if the console cannot be at a path. A path of the API would hide the API.
func CheckPath(path string) error {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case !publicPath.MatchString(path) || pathpkg.Clean(path) != path || len(path) > 64:
		return errors.New("must be off, or a path in lower case, such as " + DefaultPath)
	case slices.Contains(takenPaths, first):
		return errors.New("must not begin with /" + first + ", which has other pages; use another path")
	}
	return nil
}

// takenPaths has the first segments of the paths of the server.
var takenPaths = []string{
	"v2", "oauth2", ".well-known", "healthz", "readyz", "forward-auth", "docs", "openapi.yaml", "openapi.json",
	"swagger", "metrics",
}
