package server

import (
	"net"
	"net/http"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

var (
	errBearer = &fault.Error{Kind: fault.InvalidSession,
		Message: "The Authorization header must be one Bearer token; sign in and send the token."}
	errAPIKeyHeader = &fault.Error{Kind: fault.InvalidAPIKey,
		Message: "X-API-Key must be one complete API key; send the key or leave out the header."}
)

// bearerToken returns the token of the Authorization header (RFC 6750, 2.1), or "" if there is no such header.
func bearerToken(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errBearer
	}
	return token, nil
}

// apiKey returns the value of X-API-Key, or "" if there is no such header. An empty header is an error, because every
// API key in a request must be valid.
func apiKey(r *http.Request) (string, error) {
	values := r.Header["X-Api-Key"]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || values[0] == "":
		return "", errAPIKeyHeader
	}
	return values[0], nil
}

// credentials are the token and the API key of a request. Either may be empty.
type credentials struct {
	token, apiKey string
	byCookie      bool // whether the token was in the cookie
}

// credentials returns the credentials of a request. A page of another origin must not send method (see cookies.check).
func (s *server) credentials(r *http.Request, method string) (c credentials, err error) {
	if c.apiKey, err = apiKey(r); err != nil {
		return c, err
	}
	if c.token, err = bearerToken(r); err != nil || c.token != "" {
		return c, err
	}
	c.token, err = s.cookies.token(r, method)
	c.byCookie = c.token != ""
	return c, err
}

// origin returns the address and the User-Agent of a request's client.
func origin(r *http.Request) authority.Origin {
	return authority.Origin{IP: clientIP(r), UserAgent: authority.ShortUserAgent(r.UserAgent())}
}

// clientIP returns the address of a request's client.
func clientIP(r *http.Request) string {
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return ip
	}
	return r.RemoteAddr
}
