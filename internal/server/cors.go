package server

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/rs/cors"
)

// crossOrigin lets scripts of web pages on other origins read responses (CORS, part of the Fetch standard). It has the
// origins of a setting for the calls, and every origin for the public documents.
type crossOrigin struct {
	calls  *cors.Cors // nil if no origin is allowed
	public *cors.Cors
}

var (
	exposedHeaders = []string{"Date", "ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id"}
	requestHeaders = []string{
		"Authorization", "Content-Type", "Idempotency-Key", "Traceparent", "Tracestate", "X-API-Key", "X-Request-Id",
	}
)

// preflightAge is how long a browser may keep the answer to a preflight, in seconds. Chromium keeps it for 2 hours at
// most.
const preflightAge = 2 * 60 * 60

func newCrossOrigin(config Config) crossOrigin {
	allowed := config.AllowedOrigins
	c := crossOrigin{public: cors.New(cors.Options{
		AllowedOrigins: []string{"*"}, AllowedMethods: []string{http.MethodGet, http.MethodHead},
		AllowedHeaders: []string{"*"}, ExposedHeaders: exposedHeaders, MaxAge: preflightAge,
	})}
	if len(allowed) > 0 {
		c.calls = cors.New(cors.Options{
			// The library compares AllowedOrigins without regard to case, but the standard compares bytes.
			AllowOriginFunc: func(origin string) bool { return slices.Contains(allowed, origin) },
			AllowedMethods: []string{
				http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete,
			},
			AllowedHeaders: requestHeaders, ExposedHeaders: exposedHeaders, MaxAge: preflightAge,
			AllowCredentials: config.Cookie != "" && config.Cookie != CookieOff,
		})
	}
	return c
}

// of returns the rules of a path, or nil if no other origin may read its responses.
func (c crossOrigin) of(path string) *cors.Cors {
	switch {
	case strings.HasPrefix(path, "/v2/"), strings.HasPrefix(path, "/oauth2/"):
		return c.calls
	case strings.HasPrefix(path, "/.well-known/"), path == "/openapi.yaml", path == "/openapi.json":
		return c.public
	}
	return nil
}

// isPreflight reports whether a browser asks if a script may send a request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// CheckOrigins returns an error for each origin that no request could match, or that would be unsafe. The server
// compares origins byte by byte, so each one must be written as browsers send it. secure means that clients reach the
// server by HTTPS.
func CheckOrigins(origins []string, secure bool) []error {
	for _, origin := range origins {
		secure = secure || strings.HasPrefix(origin, "https://")
	}
	var all []error
	for _, origin := range origins {
		if problem := originProblem(origin, secure); problem != "" {
			all = append(all, fmt.Errorf("%q %s", origin, problem))
		}
	}
	return all
}

// originProblem returns why an origin cannot be allowed, or "".
func originProblem(origin string, secure bool) string {
	switch {
	case origin == "null":
		return "is the origin of every file and every sandboxed page; serve the page from an address of its own"
	case strings.Contains(origin, "*"):
		return "would allow the pages of other people; name each origin"
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "must be a scheme and a host, such as https://app.example.com"
	}
	port, portErr := strconv.ParseUint(cmp.Or(u.Port(), "1"), 10, 16)
	want := u.Scheme + "://" + browserHost(u)
	switch {
	case !strings.EqualFold(u.Scheme+"://"+u.Host, origin):
		return "must end after the host and the port; write " + want
	case portErr != nil || port == 0:
		return "has a port that does not exist; use one from 1 to 65535"
	case strings.ContainsFunc(origin, func(r rune) bool { return r > unicode.MaxASCII }):
		return "is not as browsers send it; write the host in ASCII (xn--...)"
	case want != origin:
		return "is not as browsers send it; write " + want
	case u.Scheme == "http" && secure && !isLoopback(u.Hostname()):
		return "is not safe beside HTTPS, because anyone on the network can change its pages; use https"
	}
	return ""
}

// browserHost returns the host of a URL as it is in an Origin header: in lower case, and without the default port.
func browserHost(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if address, err := netip.ParseAddr(host); err == nil {
		host = address.String()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port := strings.TrimLeft(u.Port(), "0")
	if port == "" || port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		return host
	}
	return host + ":" + port
}

// isLoopback reports whether a host is the browser's own machine, to which browsers trust plain HTTP.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && address.IsLoopback()
}
