package client

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/token"
)

// defaultCacheSize is how many answers Middleware remembers at most.
const defaultCacheSize = 10_000

// MiddlewareConfig changes what Middleware does; its zero value asks Pawl about
// each request.
type MiddlewareConfig struct {
	// CacheFor is how long a good answer is used again for the same credentials,
	// and so how long a dead token may still pass. 0 asks each time. What Pawl
	// refuses is never remembered.
	CacheFor time.Duration
	// CacheSize is how many answers are remembered at most; 0 means
	// DefaultCacheSize. Each takes some 300 bytes.
	CacheSize int
	// JWKS checks bearer tokens by Pawl's public keys in the place of asking: a
	// dead token passes until its exp, and the caller has no Login (see JWKS).
	// Requests with an API key, which nobody but Pawl can check, are asked about
	// still. Nil asks about all.
	JWKS *JWKS
	// Refuse answers a request that does not pass: err is an *Error, and its
	// Status says whether the caller (401) or Pawl (503) is the reason. Nil
	// answers with Pawl's envelope.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Clock gives the time; nil means time.Now.
	Clock func() time.Time
}

// Middleware lets through the requests whose bearer token or API key Pawl
// finds good: it asks Pawl through c, or checks tokens by Pawl's public keys if
// config.JWKS is there. The handler behind reads who calls with CallerFrom; that
// is the only place to read it from, and headers of the request that begin with
// X-Pawl- are removed, so that nobody can forge them. While Pawl is needed and
// cannot be asked, requests are answered 503.
//
// The requests to Pawl carry the caller's credentials and no others: a [Transport]
// or an oauth2.Transport of c is left out. One that is wrapped in another transport
// is not seen there, so give Middleware a client without.
func Middleware(c *Client, config MiddlewareConfig) func(http.Handler) http.Handler {
	if config.CacheSize == 0 {
		config.CacheSize = defaultCacheSize
	}
	if config.Refuse == nil {
		config.Refuse = refuse
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	m := &verifier{client: withoutToken(c), config: config, cache: newCache(config.CacheSize)}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			caller, err := m.verify(r)
			if err != nil {
				config.Refuse(w, r, err)
				return
			}
			r = r.Clone(context.WithValue(r.Context(), callerKey{}, caller))
			removeForged(r.Header)
			next.ServeHTTP(w, r)
		})
	}
}

// withoutToken returns a client that sends no token but the one it is asked
// about: a transport that adds the program's own would let everyone through.
func withoutToken(c *Client) *Client {
	h := *c.http
	for {
		switch t := h.Transport.(type) {
		case *Transport:
			h.Transport = t.Base
		case *oauth2.Transport:
			h.Transport = t.Base
		default:
			return c.With(WithHTTPClient(&h))
		}
	}
}

type callerKey struct{}

// CallerFrom returns who makes the request that this context is of; false where
// it did not come through Middleware.
func CallerFrom(ctx context.Context) (api.SessionInfo, bool) {
	caller, ok := ctx.Value(callerKey{}).(api.SessionInfo)
	return caller, ok
}

// removeForged takes X_Pawl_ too: some servers read it as the same name.
func removeForged(h http.Header) {
	for name := range h {
		if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-pawl-") {
			delete(h, name)
		}
	}
}

type verifier struct {
	client *Client
	config MiddlewareConfig
	cache  *cache
}

func (m *verifier) verify(r *http.Request) (api.SessionInfo, error) {
	who, err := credentialsOf(r)
	if err != nil {
		return api.SessionInfo{}, err
	}
	if m.config.JWKS != nil && who.key == "" {
		return m.config.JWKS.Verify(r.Context(), who.bearer)
	}
	now := m.config.Clock()
	if m.config.CacheFor > 0 {
		if caller, ok := m.cache.get(who, now); ok {
			return caller, nil
		}
	}
	caller, err := m.client.With(WithBearer(who.bearer), WithAPIKey(who.key)).Session(r.Context())
	if err == nil && caller.UserID == 0 { // what is not Pawl may say yes to everything
		err = errNobody
	}
	if err != nil {
		return api.SessionInfo{}, outcome(err)
	}
	if m.config.CacheFor > 0 {
		until := now.Add(m.config.CacheFor)
		if caller.ExpiresAt != nil && caller.ExpiresAt.Before(until) {
			until = caller.ExpiresAt.Time
		}
		m.cache.put(who, caller, now, until)
	}
	return caller, nil
}

var errNobody = errors.New("client: the answer names no user; is the address Pawl's?")

// credentials are what a request came with.
type credentials struct{ bearer, key string }

// credentialsOf reads Authorization (RFC 6750, 2.1) and X-API-Key. What is longer
// than any token is not sent on: Pawl's refusal of such headers is not its envelope.
func credentialsOf(r *http.Request) (credentials, error) {
	bearers, keys := r.Header.Values("Authorization"), r.Header.Values("X-API-Key")
	var who credentials
	switch {
	case len(bearers) > 1 || len(keys) > 1:
		return who, refused("Authorization and X-API-Key must be there once at most.")
	case len(bearers)+len(keys) == 0:
		return who, refused("No credentials were sent; sign in and send the token as a bearer.")
	}
	if len(bearers) == 1 {
		scheme, rest, _ := strings.Cut(bearers[0], " ")
		who.bearer = strings.TrimLeft(rest, " ")
		if !strings.EqualFold(scheme, "Bearer") || who.bearer == "" {
			return who, refused("The Authorization header must be one Bearer token; sign in and send the token.")
		}
		if len(who.bearer) > token.MaxLength {
			return who, errDead
		}
	}
	if len(keys) == 1 {
		if who.key = keys[0]; who.key == "" || len(who.key) > token.MaxLength {
			return who, &Error{Status: http.StatusUnauthorized, Code: api.CodeInvalidAPIKey, Message: "X-API-Key is empty or too long; send a key, or leave the header out."}
		}
	}
	return who, nil
}

func refused(message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: api.CodeInvalidSession, Message: message}
}

// outcome says what a failed check means for the request: what is not the
// caller's fault is not told to them.
func outcome(err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if ok && (e.Code == api.CodeInvalidSession || e.Code == api.CodeInvalidAPIKey) {
		return e
	}
	wait := time.Second
	if ok {
		wait = max(wait, e.RetryAfter)
	}
	return &Error{Status: http.StatusServiceUnavailable, Code: api.CodeUnavailable, RetryAfter: wait, Err: err,
		Message: "The session cannot be checked now; try again in a moment."}
}

// refuse answers with Pawl's envelope.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = outcome(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge(r))
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(api.Envelope[any]{ErrorCode: e.Code, Message: e.Message}) // the client is gone: nobody to tell
}

// challenge has an error only where a token was sent (RFC 6750, 3.1).
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") != "" {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}
