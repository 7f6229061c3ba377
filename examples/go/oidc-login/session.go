package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

const (
	sessionCookie = "session" // the current token
	signInCookie  = "sign-in" // a sign-in at the provider
)

// refreshBefore is how long before the end of a token the shop exchanges it for the next one.
const refreshBefore = 15 * time.Minute

// session returns the user of a request, and refreshes the token in its cookie. The error is ErrInvalidSession for a
// browser that has to sign in.
func (s *shop) session(w http.ResponseWriter, r *http.Request) (api.User, error) {
	token := tokenOf(r)
	if token == "" {
		return api.User{}, client.ErrInvalidSession
	}
	caller, err := s.pawl.With(client.WithBearer(token)).Session(r.Context())
	ended := errors.Is(err, client.ErrInvalidSession)
	if err != nil && !ended {
		return api.User{}, err
	}
	if ended || time.Until(caller.ExpiresAt.Time) < refreshBefore {
		// The token ends soon, has expired, or is superseded because another tab was faster. Two tabs that refresh at
		// the same time send the same key, and get the same successor.
		key := sha256.Sum256([]byte("refresh " + token))
		next, err := s.pawl.RefreshWithIdempotencyKey(r.Context(), token, hex.EncodeToString(key[:]))
		if err != nil {
			return api.User{}, err
		}
		token = next.Token
		setCookie(w, r, sessionCookie, token, 0)
	}
	return s.pawl.With(client.WithBearer(token)).Me(r.Context())
}

func tokenOf(r *http.Request) string { return cookieOf(r, sessionCookie) }

func cookieOf(r *http.Request, name string) string {
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setCookie sets a cookie that scripts cannot read, or removes it if the value is empty. A life of 0 ends with the
// browser. Lax lets the browser send the cookie when the provider redirects to the callback.
func setCookie(w http.ResponseWriter, r *http.Request, name, value string, life time.Duration) {
	cookie := http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(life.Seconds()),
		Secure: r.TLS != nil, // behind a proxy with TLS: true
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, &cookie)
}
