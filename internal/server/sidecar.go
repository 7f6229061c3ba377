package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// SidecarConfig configures NewSidecar. Timeout, AccessLog and Log are optional; every other field is required.
type SidecarConfig struct {
	// Upstream is the address of a Pawl.
	Upstream *url.URL
	// Verify returns the caller of a token. Its error is a *fault.Error.
	Verify func(ctx context.Context, token string) (ForwardCaller, error)
	// Timeout is how long the Pawl may take to answer. If 0, it is 10 seconds, which is more than a Pawl takes.
	Timeout time.Duration
	// Ready returns nil while the sidecar can verify tokens by itself.
	Ready func() error
	// AccessLog and Log are as in Config.
	AccessLog, Log *slog.Logger
}

// sidecar answers /forward-auth beside a gateway.
type sidecar struct {
	SidecarConfig
	*server   // for the answers of /forward-auth; it has nothing but a log
	spellings spellings
	upstream  http.Handler
}

// NewSidecar returns a handler of /forward-auth that verifies bearer tokens by itself, with the answers of a Pawl.
// Requests with an API key or a cookie go to the Pawl, because only Pawl can check those. The handler also answers
// /healthz, and /readyz with 503 while it cannot verify tokens by itself.
func NewSidecar(c SidecarConfig) http.Handler {
	c.Timeout = cmp.Or(c.Timeout, requestTimeout)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &sidecar{SidecarConfig: c, server: &server{log: c.Log}}
	for _, path := range []string{forwardPath, healthPath, readyPath} {
		s.spellings.add(path)
	}
	s.upstream = &httputil.ReverseProxy{
		Rewrite: s.toUpstream,
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Cache-Control") // the sidecar's response has it
			r.Header.Del("X-Request-Id")
			return nil
		},
		ErrorHandler: s.upstreamFailed,
		ErrorLog:     slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	if c.AccessLog == nil {
		return s
	}
	return &accessLog{limiter: &limiter{}, next: s, log: c.AccessLog}
}

var errNotForward = &fault.Error{Kind: fault.NotFound,
	Message: "A sidecar has only the paths /forward-auth, /healthz and /readyz; send other calls to Pawl."}

// ServeHTTP answers a request.
func (s *sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setRequestID(w, r)
	r = s.spellings.canonical(r)
	switch {
	case r.URL.Path == healthPath:
		s.healthy(w, r)
	case r.URL.Path == readyPath:
		s.ready(w)
	case isForwardAuth(r.URL.Path):
		s.forward(w, r)
	default:
		s.fail(w, r, errNotForward)
	}
}

// ready answers /readyz.
func (s *sidecar) ready(w http.ResponseWriter) {
	if err := s.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		writeHealth(w, http.StatusServiceUnavailable, "unavailable")
		return
	}
	writeHealth(w, http.StatusOK, "ok")
}

// forward is forwardAuth of a sidecar.
func (s *sidecar) forward(w http.ResponseWriter, r *http.Request) {
	w.Header()["Cache-Control"] = noStore
	r.Pattern = forwardPath
	if passesPreflight(r, cmp.Or(r.Header.Get("X-Forwarded-Method"), r.Method)) {
		admitPreflight(w)
		return
	}
	bearer, err := bearerToken(r)
	if err == nil && (bearer == "" || len(r.Header["X-Api-Key"]) > 0) {
		ctx, cancel := context.WithTimeout(withRequestID(r.Context(), w), s.Timeout)
		defer cancel()
		s.upstream.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	var caller ForwardCaller
	if err == nil {
		caller, err = s.Verify(withRequestID(r.Context(), w), bearer)
	}
	if err == nil {
		err = checkRequirements(r.URL.RawQuery, caller.Level, caller.NetworkID)
	}
	if err != nil {
		s.rejectForward(w, r, err)
		return
	}
	setCaller(w.Header(), caller)
	w.WriteHeader(http.StatusOK)
}

// toUpstream forwards a request with its credentials, its query, and the headers of the gateway, but without a body.
func (s *sidecar) toUpstream(r *httputil.ProxyRequest) {
	r.SetURL(s.Upstream)
	r.Out.URL.RawQuery = r.In.URL.RawQuery // net/http would remove a malformed requirement
	r.Out.Body = http.NoBody
	r.Out.ContentLength = 0
	r.Out.Header.Set("X-Request-Id", RequestID(r.In.Context()))
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
}

// upstreamFailed answers for a Pawl that does not answer.
func (s *sidecar) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	s.rejectForward(w, r, &fault.Error{
		Kind: fault.Unavailable, RetryAfter: errAtCapacity.RetryAfter, Err: err,
		Message: "Pawl is unreachable; retry later.",
	})
}
