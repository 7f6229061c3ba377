// Package client calls a Pawl server.
//
// A [Client] has a method for each call of the contract. A [TokenSource] keeps
// a token fresh for a program that runs long, a [Transport] puts it on requests
// to any server, and [Middleware] checks the requests that a server gets: it asks
// Pawl about each, or checks tokens by its public keys with a [JWKS].
package client

import (
	"net/http"
	"strings"
	"time"
)

// defaultRetries is how often a call is repeated unless WithRetries says so.
const defaultRetries = 3

const defaultTimeout = 30 * time.Second // of one try

// Client calls one Pawl server. It is safe for concurrent use.
//
// A call is repeated where that is safe: after 429 and after 503, which change
// nothing, and after a lost answer if the call may be sent twice. Between tries
// it waits a random time that grows, and never less than Retry-After asks for.
// The context bounds it all: a wait that would pass its deadline is not begun.
type Client struct {
	url     string
	apiKey  string
	bearer  string
	http    *http.Client
	retries int
}

// Option changes a Client.
type Option func(*Client)

// New returns a client of the server at that address, such as
// http://127.0.0.1:8080. It sends no credentials unless an option gives some.
func New(url string, options ...Option) *Client {
	c := &Client{url: strings.TrimRight(url, "/"), retries: defaultRetries}
	WithHTTPClient(&http.Client{Timeout: defaultTimeout})(c)
	return c.With(options...)
}

// With returns a copy of the client that the options change.
func (c *Client) With(options ...Option) *Client {
	changed := *c
	for _, option := range options {
		option(&changed)
	}
	return &changed
}

// WithAPIKey sends a key as X-API-Key with each call; empty sends none.
func WithAPIKey(key string) Option { return func(c *Client) { c.apiKey = key } }

// WithBearer sends a token as the bearer of each call; empty sends none.
func WithBearer(token string) Option { return func(c *Client) { c.bearer = token } }

// WithHTTPClient sends the calls through h; without it a try may take 30 s. If
// h has no CheckRedirect, redirects are not followed: they would carry the key
// or a password to another host.
func WithHTTPClient(h *http.Client) Option {
	own := *h
	if own.CheckRedirect == nil {
		own.CheckRedirect = stay
	}
	return func(c *Client) { c.http = &own }
}

// WithRetries sets how often a call is repeated; 0 means never. (net/http by
// itself sends a GET and a refresh again where a kept connection turns out to
// be closed.)
func WithRetries(n int) Option { return func(c *Client) { c.retries = n } }

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
