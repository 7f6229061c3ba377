package console

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// The session cookies of the console. Browsers accept a cookie whose name begins with __Host- only over HTTPS, for this
// host alone. Some browsers do not make an exception for plain HTTP on loopback, so there the cookie has another name.
// Neither is the cookie of the API: a sign-in to the console does not open the API to scripts of the browser.
const (
	cookieName         = "__Host-pawl-console"
	loopbackCookieName = "pawl-console"
)

// pollHeader marks the requests that the script sends by itself. They do not extend a session.
const pollHeader = "Pawl-Poll"

// onLoopback reports whether a browser on this machine has sent the request by plain HTTP. A gateway on this machine
// adds one of the headers. Without a configuration for that, nginx adds none and replaces the Host, so that the Origin
// of a form is another one; and it speaks HTTP/1.0, as no browser does.
func onLoopback(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	peer, err := netip.ParseAddr(origin(r).IP)
	if err != nil || !peer.IsLoopback() || r.TLS != nil {
		return false
	}
	if from := r.Header.Get("Origin"); from != "" && from != "http://"+r.Host || !r.ProtoAtLeast(1, 1) {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && address.IsLoopback()
}

// overPlainHTTP reports whether the network can read the request, as far as the server can see.
func (c *Console) overPlainHTTP(r *http.Request) bool {
	forwarded := r.Header.Get("X-Forwarded-Proto") == "https" ||
		strings.Contains(r.Header.Get("Forwarded"), "proto=https")
	return r.TLS == nil && !c.https && !forwarded && !onLoopback(r)
}

// cookie returns the value of Set-Cookie for a token. maxAge is in seconds; -1 removes the cookie.
func (c *Console) cookie(r *http.Request, token string, maxAge int) string {
	cookie := http.Cookie{
		Name: cookieName, Value: token, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if !c.https && onLoopback(r) {
		cookie.Name, cookie.Path = loopbackCookieName, c.base
		cookie.Secure = false
	}
	return cookie.String()
}

// setCookie is cookie for an issued token, for as long as the token can be refreshed.
func (c *Console) setCookie(r *http.Request, i authority.IssuedToken) string {
	return c.cookie(r, i.Token, int(max(1, i.Idle)))
}

// token returns the token of the session cookie, or "".
func (c *Console) token(r *http.Request) string {
	name := cookieName
	if !c.https && onLoopback(r) {
		name = loopbackCookieName
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// errSignedOut means that the browser has no session, or an ended one.
var errSignedOut = fault.New(fault.InvalidSession, t("error.signed-out"))

// authenticate returns the caller of the session cookie. If more than half of the token's life has passed, it first
// exchanges the token, and sets the cookie with its successor.
func (c *Console) authenticate(w http.ResponseWriter, r *http.Request) (authority.Caller, error) {
	text := c.token(r)
	if text == "" {
		return authority.Caller{}, errSignedOut
	}
	caller, err := c.callerOf(r, text)
	if fault.KindOf(err) == fault.Unavailable || r.Header.Get(pollHeader) != "" || err == nil && c.isYoung(caller) {
		return caller, err
	}
	if err != nil && !c.authority.Issued(r.Context(), text) {
		return caller, errSignedOut // without an event in the audit, because any client could cause any number of them
	}
	// All requests with this token have one idempotency key, so that a page gets the successor even if the browser
	// lost the response with it, because a person followed the next link too soon.
	issued, refreshErr := c.authority.Refresh(r.Context(), authority.RefreshRequest{
		Token: text, From: origin(r),
		IdempotencyKey: authority.HashIdempotencyKey("console " + text),
	})
	if refreshErr != nil {
		if err != nil && authority.SessionEnded(refreshErr) {
			w.Header().Add("Set-Cookie", c.cookie(r, "", -1))
		}
		return caller, err // with the setting refresh-key, a session of the console ends with its first token
	}
	w.Header().Add("Set-Cookie", c.setCookie(r, issued))
	return c.callerOf(r, issued.Token)
}

// callerOf returns the caller of a token that passes as a bearer. The console is closed to sessions with an actor,
// and to tokens that the server gave to a client instead of a browser.
func (c *Console) callerOf(r *http.Request, text string) (authority.Caller, error) {
	caller, err := c.authority.Authenticate(r.Context(), text, "", 0)
	if err == nil && !caller.Cookie {
		return authority.Caller{}, errSignedOut
	}
	caller.Address = origin(r).IP
	return caller, err
}

// isYoung reports whether less than half of the life of the caller's token has passed.
func (c *Console) isYoung(caller authority.Caller) bool {
	s := caller.Session
	return c.clock().Unix()-s.Refreshed < s.Expires-c.clock().Unix()
}

// origin returns the address and the user agent of a request's client.
func origin(r *http.Request) authority.Origin {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	return authority.Origin{
		IP: ip, UserAgent: authority.ShortUserAgent(r.UserAgent()), Device: deviceName, Cookie: true,
	}
}

// deviceName is the device of a session of the console, in lists of sessions.
const deviceName = "Console"
