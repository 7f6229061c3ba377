package client

import (
	"io"
	"net/http"
)

// Transport is an http.RoundTripper. It puts the token of a source on each request as its bearer. It is safe for
// concurrent use.
//
// A refresh may supersede the token of a request on its way. A request answered with 401 is therefore sent a second
// time with a new token, if its body can be sent twice (Request.GetBody). If the second request is answered with 401
// too, 401s do not renew the token for the next 5 seconds.
type Transport struct {
	Source *TokenSource
	Base   http.RoundTripper // sends the requests; nil is http.DefaultTransport
}

// RoundTrip sends the request with a token. If redirects lead to another origin, the request there gets no token. If
// the source returns an error, RoundTrip returns it without sending the request.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if isCrossOrigin(r) {
		return base.RoundTrip(r)
	}
	token, err := t.Source.get(r.Context(), "")
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper must close the body, also on an error
		}
		return nil, err
	}
	resp, err := base.RoundTrip(withBearer(r, token.Token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if hasBody(r) && r.GetBody == nil {
		return resp, nil
	}
	next, err := t.Source.get(r.Context(), token.Token)
	if err != nil || next.Token == token.Token {
		return resp, nil // the 401 is more useful than the reason why there is no new token
	}
	second := withBearer(r, next.Token)
	if hasBody(r) {
		if second.Body, err = r.GetBody(); err != nil {
			return resp, nil
		}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be reused
	_ = resp.Body.Close()
	resp, err = base.RoundTrip(second)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		t.Source.distrustRejections(next.Token)
	}
	return resp, err
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// withBearer returns a copy of the request, because a RoundTripper must not change the original.
func withBearer(r *http.Request, token string) *http.Request {
	own := r.Clone(r.Context())
	own.Header.Set("Authorization", "Bearer "+token)
	return own
}

// isCrossOrigin reports whether redirects have led the request to an origin other than that of the first request.
func isCrossOrigin(r *http.Request) bool {
	first := r
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	return first.URL.Scheme != r.URL.Scheme || first.URL.Host != r.URL.Host
}
