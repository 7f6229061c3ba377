package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// CookieMode decides whether a browser may keep its token in a cookie, which scripts cannot read.
type CookieMode string

// The modes. CookieLax also sends the cookie when a user follows a link from another site.
const (
	CookieOff    CookieMode = "off"
	CookieLax    CookieMode = "lax"
	CookieStrict CookieMode = "strict"
)

// cookieName has the prefix __Host-, so that browsers accept the cookie only over HTTPS (or on loopback), for this host
// alone, and from this host alone.
const cookieName = "__Host-pawl"

// cookies sets and reads the session cookie. A nil *cookies ignores it.
//
// A browser sends the cookie with the requests of every page of the same site. A request with the cookie is therefore
// accepted only from a page of the server's own origin, or of an allowed one.
type cookies struct {
	sameSite http.SameSite
	guard    *http.CrossOriginProtection
}

// newCookies returns nil if the mode is off.
func newCookies(c Config) *cookies {
	if c.Cookie == "" || c.Cookie == CookieOff {
		return nil
	}
	k := &cookies{sameSite: http.SameSiteLaxMode, guard: newGuard(c)}
	if c.Cookie == CookieStrict {
		k.sameSite = http.SameSiteStrictMode
	}
	return k
}

// newGuard returns the check for requests from pages of the server's own origin, and of the allowed ones.
func newGuard(c Config) *http.CrossOriginProtection {
	guard := http.NewCrossOriginProtection()
	for _, origin := range append([]string{originOf(c.PublicURL)}, c.AllowedOrigins...) {
		if origin != "" {
			_ = guard.AddTrustedOrigin(origin) // fails only for a text that is no origin
		}
	}
	return guard
}

// originOf returns the origin of an address, or "".
func originOf(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

var (
	errForeignPage = &fault.Error{Kind: fault.AccessDenied,
		Message: "The request is from a page of another origin; ask the operator to allow the origin."}
	errNotOfCookie = &fault.Error{Kind: fault.InvalidSession,
		Message: "The token in the cookie was not issued for a cookie; sign in again."}
	errNoCookies = invalid("cookie must be absent or false, because this server sets no cookies.")
)

// token returns the token of the session cookie, or "" if the request has none, or has an Authorization header, which
// comes first. It returns errForeignPage if a page of another origin sent the cookie.
func (k *cookies) token(r *http.Request, method string) (string, error) {
	if k == nil || len(r.Header["Cookie"]) == 0 || len(r.Header["Authorization"]) > 0 {
		return "", nil
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil || cookie.Value == "" {
		return "", nil
	}
	if err := k.check(r, method); err != nil {
		return "", err
	}
	return cookie.Value, nil
}

// check returns errForeignPage if a page of another origin sent the request with this method.
func (k *cookies) check(r *http.Request, method string) error {
	sent := *r
	sent.Method = method
	if k.guard.Check(&sent) != nil {
		return errForeignPage
	}
	return nil
}

// unsafeMethod is a method for which CrossOriginProtection checks the origin. No call of the contract may be sent by
// another page, whatever its method.
const unsafeMethod = http.MethodPost

// set returns the header that gives the browser a token, for as long as it can be refreshed.
func (k *cookies) set(i authority.IssuedToken) string {
	return k.header(i.Token, int(max(1, i.Idle)))
}

// clear returns the header that removes the cookie.
func (k *cookies) clear() string { return k.header("", -1) }

func (k *cookies) header(value string, maxAge int) string {
	c := http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: k.sameSite,
	}
	return c.String()
}

// cookieError is an error of a request whose token was in the cookie.
type cookieError struct {
	error
	signOut bool // whether the request was a sign-out
}

func (e cookieError) Unwrap() error { return e.error }

// clearIfEnded removes the cookie of an ended session. The cookie of a superseded token stays: the browser may have the
// successor already, from a refresh in another tab. A sign-out removes every cookie whose token is rejected.
func (k *cookies) clearIfEnded(h http.Header, err error) {
	if k == nil {
		return
	}
	rejected, byCookie := errors.AsType[cookieError](err)
	signedOut := rejected.signOut && fault.KindOf(err) == fault.InvalidSession
	if byCookie && (signedOut || authority.SessionEnded(err)) {
		h.Add("Set-Cookie", k.clear())
	}
}
