// Package server is the HTTP side of Pawl. New returns a handler for the whole wire contract, and HTTPServer runs a
// handler with safe time-outs.
//
// A request passes the limiter (limits.go), finds its endpoint among the routes of this file, and is decoded and
// authenticated by one generic adapter (adapter.go). The endpoint calls the authority and returns a response or an
// error. One table (errors.go) turns the kind of an error into a status and an error code. Only the OAuth endpoints
// (oauth.go) and /forward-auth (forward.go) have other forms of response, because standards and gateways define them.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/revocation"
)

// Config configures New. Authority is required; every other field is optional.
type Config struct {
	Authority *authority.Authority
	// Build is the version of the program, for GET /v2/auth/version.
	Build string
	// PublicURL is where clients reach the server, such as https://auth.example.com without a slash at the end. If
	// empty, the server metadata has the Host of each request, and must not be cached.
	PublicURL string
	// AllowedOrigins are the origins of web pages whose scripts may call the server, such as https://app.example.com.
	// CheckOrigins must accept them.
	AllowedOrigins []string
	// Cookie lets browsers keep their token in a cookie. The zero value is CookieOff.
	Cookie CookieMode
	// Feed has the events of GET /v2/revocations. If nil, the server has no feed.
	Feed *revocation.Feed
	// Console is the admin console. If nil, there is none.
	Console Console
	// NeedsSetup reports whether the store still has no administrator. The server then answers nothing but /healthz and
	// the console. If nil, the store has one.
	NeedsSetup func(context.Context) bool
	// Limits protects the server from too many requests. The zero value sets no limits.
	Limits Limits
	// AccessLog receives a line for each request. If nil, requests are not logged.
	AccessLog *slog.Logger
	// Log receives internal errors and the causes of rejected requests. If nil, the server discards them.
	Log *slog.Logger
}

// Console is the handler of the admin console. A *console.Console implements it.
type Console interface {
	http.Handler
	// Path returns the path of the console, without a slash at its end.
	Path() string
	// SignInPaths returns the paths whose POST requests are sign-ins.
	SignInPaths() []string
	// Reject answers a request that the server rejects before the console gets it, with a page for the error.
	Reject(w http.ResponseWriter, r *http.Request, err error)
}

// server answers the wire contract.
type server struct {
	authority *authority.Authority
	build     string
	publicURL string
	log       *slog.Logger
	deadlines deadlines
	cookies   *cookies         // nil: the server sets no cookies
	feed      *revocation.Feed // nil: the server has no feed
	console   Console          // nil: there is none
	setup     *setupGate       // nil: the store has an administrator
	mux       *http.ServeMux
	exact     map[string]http.HandlerFunc // the handlers of the paths without a variable; the mux has them too
	paths     []string                    // the patterns of openapi.yaml
	spellings spellings                   // of all paths
	notReady  atomic.Bool                 // the last state logged by /readyz
}

// New returns the handler of the wire contract. It is safe for concurrent use.
func New(c Config) http.Handler {
	limiter := newLimiter(c, newServer(c))
	if c.AccessLog == nil {
		return limiter
	}
	return &accessLog{limiter: limiter, next: limiter, log: c.AccessLog}
}

func newServer(c Config) *server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{
		authority: c.Authority, build: c.Build, publicURL: c.PublicURL, log: c.Log,
		cookies: newCookies(c), console: c.Console, setup: newSetupGate(c),
		feed: c.Feed, mux: http.NewServeMux(),
		exact: map[string]http.HandlerFunc{},
	}
	s.spellings.prefix = s.prefix()
	s.routes()
	return s
}

// The paths that other files need too.
const (
	loginPath      = "/v2/auth/login"
	sessionPath    = "/v2/auth/session"
	refreshPath    = "/v2/auth/refresh"
	grantPath      = "/oauth2/token"
	introspectPath = "/oauth2/introspect"
	healthPath     = "/healthz"
	readyPath      = "/readyz"
	forwardPath    = "/forward-auth"
	feedPath       = "/v2/revocations"
)

// The calls outside authenticated name here the callers that they are open to, besides those with a bearer or an API
// key of scope Full. A login and a refresh need no API key, but they must be open to one in the request.
const (
	loginOpen      authority.Access = 0
	refreshOpen    authority.Access = 0
	logoutOpen                      = actors
	grantOpen                       = openKeys
	introspectOpen                  = verifyKeys
	revokeOpen     authority.Access = 0
	forwardOpen                     = verifyKeys | actors
	feedOpen                        = verifyKeys
)

const (
	verifyKeys = authority.VerifyKeys
	openKeys   = authority.OpenSessionsKeys
	actors     = authority.ActorSessions
)

// routes adds every path. A public endpoint is open to all clients. An authenticated one needs a token or an API key,
// and names the API keys of a narrow scope and the sessions with an actor that it is open to.
func (s *server) routes() {
	s.handle(loginPath, methods{"POST": public(s.login)})
	s.handle(refreshPath, methods{"POST": public(s.refresh)})
	s.handle("/v2/auth/logout", methods{"POST": public(s.logout)})
	s.handle(sessionPath, methods{"POST": authenticated(s.session, verifyKeys, actors)})
	s.handle("/v2/auth/password", methods{"PUT": authenticated(s.changePassword)})
	s.handle("/v2/auth/version", methods{"GET": public(s.version)})
	s.handle("/v2/auth/sessions", methods{"POST": authenticated(s.sessions, actors)})
	s.handle("/v2/auth/sessions/end-all", methods{"POST": authenticated(s.endOwnSessions)})
	s.handle("/v2/auth/sessions/open", methods{"POST": authenticated(s.openSession, openKeys)})
	s.handle("/v2/auth/sessions/{id}", methods{"DELETE": authenticated(s.endSession)})

	s.handle("/v2/users", methods{"POST": authenticated(s.createUser), "PUT": authenticated(s.updateUser)})
	s.handle("/v2/users/me", methods{"GET": authenticated(s.me, actors)})
	s.handle("/v2/users/{id}", methods{"GET": authenticated(s.user, actors), "DELETE": authenticated(s.terminateUser)})
	s.handle("/v2/users/list", methods{"POST": authenticated(s.listUsers, actors)})
	s.handle("/v2/users/by-name", methods{"POST": authenticated(s.userByName, actors)})
	s.handle("/v2/users/role", methods{"POST": authenticated(s.setRole)})
	s.handle("/v2/users/set-network-mailbox", methods{"POST": authenticated(s.setTenant)})
	s.handle("/v2/users/password", methods{"POST": authenticated(s.setPassword)})
	s.handle("/v2/users/generate-password", methods{"POST": authenticated(s.generatePassword)})
	s.handle("/v2/users/reset/me", methods{"POST": authenticated(s.resetMe)})
	s.handle("/v2/users/reset/{id}", methods{"POST": authenticated(s.resetUser)})
	s.handle("/v2/users/key-generate/{id}", methods{"POST": authenticated(s.generateAPIKey)})
	s.handle("/v2/users/key/{id}", methods{"GET": public(s.readAPIKeyBack)})
	s.handle("/v2/users/update-config", methods{"POST": public(s.noConfig)})
	s.handle("/v2/users/send-sms", methods{"POST": public(s.noTextMessages)})

	s.handle("/v2/keys", methods{"DELETE": authenticated(s.deleteAPIKey)})
	s.handle("/v2/keys/create", methods{"POST": authenticated(s.createAPIKey)})
	s.handle("/v2/keys/list", methods{"POST": authenticated(s.listAPIKeys)})
	s.handle("/v2/keys/get-key", methods{"POST": authenticated(s.primaryAPIKey)})
	s.keyRoutes()
	s.handle("/v2/audit", methods{"GET": authenticated(s.events)})
	s.handle(feedPath, methods{"GET": authenticated(s.revocations, feedOpen)})

	s.handleOAuth(grantPath, http.MethodPost, s.grantToken)
	s.handleOAuth(introspectPath, http.MethodPost, s.introspect)
	s.handleOAuth("/oauth2/revoke", http.MethodPost, s.revoke)
	s.handleOAuth("/.well-known/jwks.json", http.MethodGet, s.jwks)
	s.handleOAuth(metadataPath, http.MethodGet, s.metadata)
	if prefix := s.prefix(); prefix != "" {
		s.handleOAuth(metadataPath+prefix, http.MethodGet, s.metadata) // where RFC 8414, 3.1, puts it
	}

	s.handleAnyMethod(healthPath, s.healthy)
	s.handleAnyMethod(readyPath, s.ready)
	s.handleAnyMethod(forwardPath, s.forwardAuth)
	s.handlePage("/openapi.yaml", openAPIYAML)
	s.handlePage("/openapi.json", openAPIJSON)
	s.handlePage(docsPath, s.docsPage())
	s.handlePage("/docs/docs.js", docsScript)
	s.handlePage(docsStylePath, docsStyle)
	s.handleRedirect("/swagger/index.html", "/docs")
	s.handleRedirect("/swagger/v2/swagger.json", "/openapi.json")
	s.handleConsole()
	s.mux.HandleFunc("/", s.noPath)
}

// keyRoutes adds the paths of signing keys and of the receivers of tokens that they sign, which are for Root.
func (s *server) keyRoutes() {
	s.handle("/v2/signing-keys", methods{"DELETE": authenticated(s.retireSigningKey)})
	s.handle("/v2/signing-keys/list", methods{"POST": authenticated(s.listSigningKeys)})
	s.handle("/v2/signing-keys/rotate", methods{"POST": authenticated(s.rotateSigningKey)})
	s.handle("/v2/receivers", methods{"DELETE": authenticated(s.removeReceiver)})
	s.handle("/v2/receivers/add", methods{"POST": authenticated(s.addReceiver)})
	s.handle("/v2/receivers/list", methods{"POST": authenticated(s.listReceivers)})
	s.handle("/v2/receivers/test", methods{"POST": authenticated(s.testReceiver)})
}

// handleConsole adds the paths of the console, if there is one.
func (s *server) handleConsole() {
	if s.console == nil {
		return
	}
	s.spellings.tree = s.console.Path()
	s.spellings.add(s.console.Path())
	for _, path := range s.console.SignInPaths() {
		s.spellings.add(path)
	}
	s.mux.HandleFunc(s.console.Path(), s.serveConsole)
	s.mux.HandleFunc(s.console.Path()+"/", s.serveConsole)
}

// serveConsole answers a request for a page of the console.
func (s *server) serveConsole(w http.ResponseWriter, r *http.Request) {
	s.console.ServeHTTP(w, r.WithContext(s.requestContext(w, r)))
}

// hasPage reports whether a path is that of a page of the console.
func (s *server) hasPage(path string) bool {
	return s.console != nil && (path == s.console.Path() || strings.HasPrefix(path, s.console.Path()+"/"))
}

// methods has the endpoints of one path.
type methods map[string]endpoint

// allow returns the value of Allow, in a fixed order.
func (m methods) allow() string {
	var names []string
	for name := range m {
		names = append(names, name)
		if name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (s *server) handle(pattern string, m methods) {
	allow := m.allow()
	s.handleAnyMethod(pattern, func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if endpoint, ok := m[method]; ok {
			s.serve(w, r, endpoint)
			return
		}
		w.Header().Set("Allow", allow)
		s.fail(w, r, &statusError{http.StatusMethodNotAllowed, &fault.Error{Kind: fault.NotFound,
			Message: "This path does not support " + printableMethod(r.Method) + "; use " + allow + "."}})
	})
}

func (s *server) handleAnyMethod(pattern string, handler http.HandlerFunc) {
	s.paths = append(s.paths, pattern)
	s.spellings.add(pattern)
	s.mux.HandleFunc(pattern, handler)
	if !strings.Contains(pattern, "{") {
		s.exact[pattern] = handler
	}
}

// handleRedirect adds a path of the vendor's server that redirects to a page of this one.
func (s *server) handleRedirect(path, to string) {
	s.spellings.add(path)
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", s.prefix()+to)
		w.WriteHeader(http.StatusFound)
	})
}

// ServeHTTP answers one request with one envelope, even if a handler panics.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setRequestID(w, r)
	defer s.recover(w, r)
	if handler := s.exact[r.URL.Path]; handler != nil && r.URL.RawPath == "" {
		r.Pattern = r.URL.Path
		handler(w, r) // as the mux would
		return
	}
	switch {
	case isForwardAuth(r.URL.Path):
		s.forwardAuth(w, r) // including paths below it that the mux would redirect
	case path.Clean(r.URL.Path) != r.URL.Path:
		s.noPath(w, r) // because the mux would answer with a redirect in HTML
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// route returns ServeHTTP's pattern for a request.
func (s *server) route(r *http.Request) string {
	if isForwardAuth(r.URL.Path) {
		return forwardPath
	}
	_, pattern := s.mux.Handler(r)
	return pattern
}

var errNoPath = &fault.Error{Kind: fault.NotFound, Message: "Path not found; see /docs for all paths."}

// recover answers with an internal error if the handler has panicked.
func (s *server) recover(w http.ResponseWriter, r *http.Request) {
	if cause := recover(); cause != nil {
		if cause == http.ErrAbortHandler {
			panic(cause)
		}
		s.fail(w, r, panicError{cause})
	}
}

// printableMethod returns the method, or "this method" if a message should not quote it.
func printableMethod(m string) string {
	if len(m) > 16 || strings.ContainsFunc(m, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return "this method"
	}
	return m
}
