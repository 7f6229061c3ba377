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

const defaultCacheSize = 10_000

// MiddlewareConfig configures Middleware. Every field is optional: the zero value asks Pawl about each request.
type MiddlewareConfig struct {
	// CacheFor is how long a positive answer of Pawl is used again for the same credentials, but never beyond the
	// token's exp. A superseded or ended token can pass for that long. 0 disables the cache. Rejections are never
	// cached. A wrong local clock is tolerated, because exp is compared with the Date of Pawl's answer.
	CacheFor time.Duration
	// CacheSize is the maximum number of cached answers, of about 300 bytes each. 0 is 10,000.
	CacheSize int
	// JWKS, if set, verifies bearer tokens by Pawl's public keys instead of asking Pawl. A superseded or ended token
	// then passes until its exp, and the caller has no Login (see JWKS). Pawl is still asked about every request with
	// an API key, because only Pawl can check one.
	JWKS *JWKS
	// Verifier, if set, verifies bearer tokens in memory by Pawl's feed of revocations. It takes the place of JWKS, and
	// rejects a superseded or ended token within a second. Pawl is still asked about every request with an API key.
	Verifier *Verifier
	// Cookie, if set, also lets a browser send its token as the cookie of Pawl's cookie mode. An Authorization header
	// comes first. A browser sends the cookie with the requests of every page of the same site, so Cookie checks each
	// request that has it. The zero CrossOriginProtection admits the pages of the guarded server's own origin, and
	// AddTrustedOrigin admits others. GET, HEAD and OPTIONS are always admitted, so they must not change anything.
	Cookie *http.CrossOriginProtection
	// Refuse writes the response to a rejected request. Its err is an *Error: the Status is 401 if the credentials are
	// the reason, 403 if Cookie is, and 503 if Pawl could not be asked. Nil writes Pawl's envelope.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Clock returns the time. Nil is time.Now.
	Clock func() time.Time
}

// Middleware returns a function that guards an HTTP handler: only requests with a valid bearer token or API key reach
// it. Middleware asks Pawl through c, or verifies tokens itself if config.Verifier or config.JWKS is set. While Pawl is
// needed and unreachable, requests are answered with 503.
//
// The handler gets the caller from CallerFrom, and must not get it from anywhere else. Middleware removes request
// headers beginning with X-Pawl-, so that no client can forge them.
//
// The requests to Pawl carry the credentials of the guarded request and no others. If the HTTP client of c has a
// [Transport] or an oauth2.Transport, Middleware bypasses it, because it would add the program's own token. Middleware
// does not find such a transport inside another transport; pass a client without one in that case.
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
	g := &guard{client: withoutToken(c), config: config, cache: newCache(config.CacheSize)}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			caller, err := g.verify(r)
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

// withoutToken returns a client whose transport adds no token. The program's own token would make every request valid.
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

// CallerFrom returns the caller of the request with this context. It returns false if the request did not pass through
// Middleware.
func CallerFrom(ctx context.Context) (api.SessionInfo, bool) {
	caller, ok := ctx.Value(callerKey{}).(api.SessionInfo)
	return caller, ok
}

// removeForged removes X-Pawl- headers, and X_Pawl_ too, because some servers treat both as the same name.
func removeForged(h http.Header) {
	for name := range h {
		if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-pawl-") {
			delete(h, name)
		}
	}
}

type guard struct {
	client *Client
	config MiddlewareConfig
	cache  *cache
}

func (g *guard) verify(r *http.Request) (api.SessionInfo, error) {
	sent, err := g.credentials(r)
	if err != nil {
		return api.SessionInfo{}, err
	}
	if g.config.Verifier != nil && sent.apiKey == "" {
		verified, err := g.config.Verifier.Verify(r.Context(), sent.bearer)
		if err != nil {
			return api.SessionInfo{}, err
		}
		return verified.SessionInfo, nil
	}
	if g.config.JWKS != nil && sent.apiKey == "" {
		return g.config.JWKS.Verify(r.Context(), sent.bearer)
	}
	now := g.config.Clock()
	if g.config.CacheFor > 0 {
		if caller, ok := g.cache.get(sent, now); ok {
			return caller, nil
		}
	}
	c := g.client.With(WithBearer(sent.bearer), WithAPIKey(sent.apiKey))
	caller, date, err := doDated[api.SessionInfo](r.Context(), c, sessionCall)
	if err == nil && caller.UserID == 0 { // a server other than Pawl may answer every request with success
		err = errNoUser
	}
	if err != nil {
		return api.SessionInfo{}, rejection(err)
	}
	if g.config.CacheFor > 0 {
		e := entry{caller: caller, added: now, maxAge: g.config.CacheFor}
		if caller.ExpiresAt != nil {
			server := serverClock{date: date, sent: now, received: g.config.Clock()}
			e.maxAge = min(e.maxAge, caller.ExpiresAt.Sub(server.at(now)))
		}
		g.cache.put(sent, e)
	}
	return caller, nil
}

var errNoUser = errors.New("client: the response has no user; is the address right?")

// credentials are the credentials of a guarded request.
type credentials struct{ bearer, apiKey string }

// credentials returns the credentials of a request, from its headers or, if the configuration permits, from the cookie.
func (g *guard) credentials(r *http.Request) (credentials, error) {
	if g.config.Cookie == nil || len(r.Header["Authorization"]) > 0 {
		return credentialsOf(r)
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil || cookie.Value == "" {
		return credentialsOf(r)
	}
	if g.config.Cookie.Check(r) != nil {
		return credentials{}, errForeignPage
	}
	var sent credentials
	if len(r.Header["X-Api-Key"]) > 0 {
		if sent, err = credentialsOf(r); err != nil {
			return sent, err
		}
	}
	if sent.bearer = cookie.Value; len(sent.bearer) > token.MaxLength {
		return sent, errInvalidToken
	}
	return sent, nil
}

// cookieName is the name of Pawl's session cookie.
const cookieName = "__Host-pawl"

var errForeignPage = &Error{
	Status: http.StatusForbidden, Code: api.CodeAccessDenied,
	Message: "The request is from a page of another origin; ask the operator to allow the origin.",
}

// credentialsOf reads Authorization (RFC 6750, 2.1) and X-API-Key. It rejects values longer than any token, because
// Pawl would answer such a header without an envelope.
func credentialsOf(r *http.Request) (credentials, error) {
	bearers, apiKeys := r.Header.Values("Authorization"), r.Header.Values("X-API-Key")
	var sent credentials
	switch {
	case len(bearers) > 1 || len(apiKeys) > 1:
		return sent, unauthorized(api.CodeInvalidSession, "Send Authorization and X-API-Key at most once each.")
	case len(bearers)+len(apiKeys) == 0:
		return sent, unauthorized(api.CodeInvalidSession,
			"No credentials were sent; sign in and send the token as a bearer.")
	}
	if len(bearers) == 1 {
		scheme, rest, _ := strings.Cut(bearers[0], " ")
		sent.bearer = strings.TrimLeft(rest, " ")
		if !strings.EqualFold(scheme, "Bearer") || sent.bearer == "" {
			return sent, unauthorized(api.CodeInvalidSession,
				"The Authorization header must be one Bearer token; sign in and send the token.")
		}
		if len(sent.bearer) > token.MaxLength {
			return sent, errInvalidToken
		}
	}
	if len(apiKeys) == 1 {
		sent.apiKey = apiKeys[0]
		if sent.apiKey == "" || len(sent.apiKey) > token.MaxLength {
			return sent, unauthorized(api.CodeInvalidAPIKey,
				"X-API-Key is empty or too long; send an API key, or leave the header out.")
		}
	}
	return sent, nil
}

func unauthorized(code api.ErrorCode, message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: code, Message: message}
}

// errInvalidToken is the error for every invalid token, so that it does not reveal the reason. Pawl does the same.
var errInvalidToken = unauthorized(api.CodeInvalidSession, "The token is not valid any more; sign in again.")

// rejection returns the error for a request whose check failed with err. If the credentials are not the reason, the
// response does not show the cause.
func rejection(err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if ok && (e.Code == api.CodeInvalidSession || e.Code == api.CodeInvalidAPIKey) {
		return e
	}
	wait := time.Second
	if ok {
		wait = max(wait, e.RetryAfter)
	}
	return &Error{
		Status: http.StatusServiceUnavailable, Code: api.CodeUnavailable, RetryAfter: wait, Err: err,
		Message: "The credentials cannot be checked at the moment; retry later.",
	}
}

// refuse writes Pawl's envelope.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = rejection(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	if e.Status == http.StatusUnauthorized {
		challenge := "Bearer"
		if r.Header.Get("Authorization") != "" { // RFC 6750, 3.1: no error code if the request had no token
			challenge = `Bearer error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	w.WriteHeader(e.Status)
	// An error means the client has disconnected.
	_ = json.NewEncoder(w).Encode(api.Envelope[any]{ErrorCode: e.Code, Message: e.Message})
}
