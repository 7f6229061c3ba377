// Package server is Pawl's HTTP side: the routes, one typed adapter for all of
// them, and the table from error kinds to answers.
package server

import (
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// RequestTimeout is how long one request may take.
const RequestTimeout = 10 * time.Second

// Server answers the wire contract.
type Server struct {
	authority *authority.Authority
	build     string
	log       *slog.Logger
	mux       *http.ServeMux
	paths     []string    // patterns of what openapi.yaml has
	away      atomic.Bool // /readyz has said so
	publicURL string      // where clients reach the server; "" takes each request's Host
}

// Option changes a Server.
type Option func(*Server)

// WithPublicURL says where clients reach the server, as in
// https://auth.example.com; "" takes the Host of each request.
func WithPublicURL(url string) Option { return func(s *Server) { s.publicURL = url } }

// New returns the handler of the whole contract. The build is what
// /v2/auth/version says of this binary.
func New(a *authority.Authority, build string, log *slog.Logger, options ...Option) *Server {
	s := &Server{authority: a, build: build, log: log, mux: http.NewServeMux()}
	for _, option := range options {
		option(s)
	}
	s.routes()
	return s
}

// routes is every call of the contract. The first argument of an adapter says
// who may call: anyone (open), or a caller with a token or a key (signedIn).
func (s *Server) routes() {
	s.handle("/v2/auth/login", methods{"POST": open(s.login)})
	s.handle("/v2/auth/refresh", methods{"POST": open(s.refresh)})
	s.handle("/v2/auth/logout", methods{"POST": signedIn(s.logout)})
	s.handle("/v2/auth/session", methods{"POST": signedIn(s.session)})
	s.handle("/v2/auth/password", methods{"PUT": signedIn(s.changePassword)})
	s.handle("/v2/auth/version", methods{"GET": open(s.version)})
	s.handle("/v2/auth/sessions", methods{"POST": signedIn(s.sessions)})
	s.handle("/v2/auth/sessions/{id}", methods{"DELETE": signedIn(s.endSession)})

	s.handle("/v2/users", methods{"POST": signedIn(s.createUser), "PUT": signedIn(s.updateUser)})
	s.handle("/v2/users/me", methods{"GET": signedIn(s.me)})
	s.handle("/v2/users/{id}", methods{"GET": signedIn(s.user), "DELETE": signedIn(s.terminateUser)})
	s.handle("/v2/users/list", methods{"POST": signedIn(s.listUsers)})
	s.handle("/v2/users/by-name", methods{"POST": signedIn(s.userByName)})
	s.handle("/v2/users/role", methods{"POST": signedIn(s.setRole)})
	s.handle("/v2/users/set-network-mailbox", methods{"POST": signedIn(s.setPlace)})
	s.handle("/v2/users/password", methods{"POST": signedIn(s.setPassword)})
	s.handle("/v2/users/generate-password", methods{"POST": signedIn(s.generatePassword)})
	s.handle("/v2/users/reset/{id}", methods{"POST": signedIn(s.resetUser)})
	s.handle("/v2/users/key-generate/{id}", methods{"POST": signedIn(s.generateKey)})
	s.handle("/v2/users/key/{id}", methods{"GET": open(s.readKeyBack)})

	s.handle("/v2/audit", methods{"GET": signedIn(s.events)})

	s.healthRoutes()
	s.mux.HandleFunc("/", s.noPath)
	s.handle("/v2/keys", methods{"DELETE": signedIn(s.deleteKey)})
	s.handle("/v2/keys/create", methods{"POST": signedIn(s.createKey)})
	s.handle("/v2/keys/list", methods{"POST": signedIn(s.listKeys)})
	s.handle("/v2/keys/get-key", methods{"POST": signedIn(s.primaryKey)})
	s.handle("/v2/signing-keys", methods{"DELETE": signedIn(s.retireSigningKey)})
	s.handle("/v2/signing-keys/list", methods{"POST": signedIn(s.listSigningKeys)})
	s.handle("/v2/signing-keys/rotate", methods{"POST": signedIn(s.rotateSigningKey)})
	s.oauthRoutes()
	s.describe()
}

// methods is what one path answers.
type methods map[string]endpoint

// allow is the value of Allow, in a fixed order.
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

func (s *Server) handle(pattern string, m methods) {
	allow := m.allow()
	s.paths = append(s.paths, pattern)
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
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
			Message: "This path does not answer " + printableMethod(r.Method) + "; use " + allow + "."}})
	})
}

// ServeHTTP answers one request with one envelope, even if a handler panics.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setRequestID(w, r)
	defer s.recover(w, r)
	switch {
	case isForwardAuth(r.URL.Path):
		s.forwardAuth(w, r) // any path below it, even one that the mux would redirect
	case path.Clean(r.URL.Path) != r.URL.Path:
		s.noPath(w, r) // because the mux would answer with a redirect in HTML
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// route is the pattern of the handler that a request would have.
func (s *Server) route(r *http.Request) string {
	if isForwardAuth(r.URL.Path) {
		return forwardPath
	}
	_, pattern := s.mux.Handler(r)
	return pattern
}

func (s *Server) noPath(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errNoPath) }

var errNoPath = &fault.Error{Kind: fault.NotFound,
	Message: "There is no such path; see docs/api.md for those that there are."}

func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	if cause := recover(); cause != nil {
		if cause == http.ErrAbortHandler {
			panic(cause)
		}
		s.fail(w, r, panicError{cause})
	}
}

func printableMethod(m string) string {
	if len(m) > 16 || strings.ContainsFunc(m, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return "this method"
	}
	return m
}
