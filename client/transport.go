package client

import (
	"io"
	"net/http"
)

// Transport puts a source's token on each request as its bearer. A request that
// is answered 401 is sent once more with a new token, if its body can be sent
// twice (Request.GetBody): a refresh elsewhere kills a token that is on its way.
// Where the new one is answered 401 too, no more are got for 5 s.
// It is safe for concurrent use.
type Transport struct {
	Source *TokenSource
	Base   http.RoundTripper // sends the requests; nil means http.DefaultTransport
}

// RoundTrip sends the request with a token. A request that follows a redirect
// to another origin is sent without one.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if leavesOrigin(r) {
		return base.RoundTrip(r)
	}
	token, err := t.Source.get(r.Context(), "")
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes it always; there is nothing to say of it
		}
		return nil, err
	}
	resp, err := base.RoundTrip(withBearer(r, token.Token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if !hasNoBody(r) && r.GetBody == nil {
		return resp, nil
	}
	next, err := t.Source.get(r.Context(), token.Token)
	if err != nil || next.Token == token.Token {
		return resp, nil // the 401 says more than why there is no new token
	}
	again := withBearer(r, next.Token)
	if !hasNoBody(r) {
		if again.Body, err = r.GetBody(); err != nil {
			return resp, nil
		}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	_ = resp.Body.Close()
	resp, err = base.RoundTrip(again)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		t.Source.unhealed(next.Token)
	}
	return resp, err
}

func hasNoBody(r *http.Request) bool { return r.Body == nil || r.Body == http.NoBody }

func withBearer(r *http.Request, token string) *http.Request {
	own := r.Clone(r.Context()) // a RoundTripper changes no request
	own.Header.Set("Authorization", "Bearer "+token)
	return own
}

// leavesOrigin reports whether redirects led the request away from where it was
// sent first.
func leavesOrigin(r *http.Request) bool {
	first := r
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	return first.URL.Scheme != r.URL.Scheme || first.URL.Host != r.URL.Host
}
