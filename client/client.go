// Package client calls a Pawl server from Go.
//
// A [Client] has one method for each call of the contract. Everything else builds on it:
//
//   - A [TokenSource] keeps a session: it refreshes the token in time, and signs in when it must.
//   - A [Transport] puts the token of a source on each request to any server.
//   - [Middleware] guards an HTTP handler. It asks Pawl about the credentials of each request, or verifies tokens
//     itself with a [Verifier] or a [JWKS].
//
// Package pawltest runs a server for the tests of such programs.
package client

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultRetries = 3
	defaultTimeout = 30 * time.Second // for each attempt
)

// Client calls one Pawl server. It is safe for concurrent use.
//
// A failed call is retried if a retry is safe: after a 429 and a 503, because they change nothing, and after a lost
// response if the call is idempotent. The pause before a retry is random, grows with each retry, and is never shorter
// than Retry-After. After a Retry-After of more than 30 seconds, the call returns the error instead. The context limits
// a call with all its retries. If a pause would pass the deadline, the call returns the last error at once.
//
// Each call has the User-Agent pawl-go/VERSION, with the version of this module. Lists of sessions show it.
//
// An error of the server is an *[Error]. It matches one of the Err variables, for example with
// errors.Is(err, ErrInvalidSession). If no response arrived, the error wraps the cause and matches none of them.
type Client struct {
	url     string // without a slash at the end
	apiKey  string
	bearer  string
	http    *http.Client
	retries int
}

// Option changes a Client. The With functions return options.
type Option func(*Client)

// New returns a client for the server at an address such as http://127.0.0.1:8080 or https://example.com/pawl. It does
// not call the server. It sends no credentials unless an option gives it some.
//
// The address must be absolute, with the scheme http or https, and must not have a query, a fragment or user info.
// Otherwise New returns an error. The error does not repeat the address, because an address with user info has a
// password.
func New(address string, options ...Option) (*Client, error) {
	if problem := addressProblem(address); problem != "" {
		return nil, errors.New("client: the server's address " + problem + "; write it as http://127.0.0.1:8080")
	}
	c := &Client{url: strings.TrimRight(address, "/"), retries: defaultRetries}
	WithHTTPClient(&http.Client{Timeout: defaultTimeout})(c)
	return c.With(options...), nil
}

// addressProblem returns the reason why an address cannot be a server's, or an empty text.
func addressProblem(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "does not begin with http:// or https://"
	case u.Host == "":
		return "has no host"
	case u.User != nil:
		return "has a user name or a password"
	case u.RawQuery != "" || u.ForceQuery:
		return "has a query"
	case strings.Contains(address, "#"):
		return "has a fragment"
	}
	return ""
}

// With returns a copy of the client with the options applied.
func (c *Client) With(options ...Option) *Client {
	changed := *c
	for _, option := range options {
		option(&changed)
	}
	return &changed
}

// WithAPIKey sends an API key as X-API-Key with each call. An empty key sends none.
func WithAPIKey(key string) Option { return func(c *Client) { c.apiKey = key } }

// WithBearer sends a token as the bearer of each call (RFC 6750, 2.1). An empty token sends none.
func WithBearer(token string) Option { return func(c *Client) { c.bearer = token } }

// WithHTTPClient sends the calls through a copy of h. The default is an http.Client with a Timeout of 30 seconds for
// each attempt. If h has no CheckRedirect, redirects are not followed, because they would carry the API key or a
// password to another host.
func WithHTTPClient(h *http.Client) Option {
	own := *h
	if own.CheckRedirect == nil {
		own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return func(c *Client) { c.http = &own }
}

// WithRetries sets how often a failed call is retried at most. The default is 3; 0 disables retries. Independently of
// this, net/http repeats a GET, and a call with an Idempotency-Key, if a kept connection turns out to be closed.
func WithRetries(n int) Option { return func(c *Client) { c.retries = n } }
