package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// signInLimit is how long a user may take at the provider.
const signInLimit = 10 * time.Minute

// signIn sends the browser to the provider. A cookie ties the sign-in to this browser.
func (s *shop) signIn(w http.ResponseWriter, r *http.Request) {
	a := attempt{
		state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier(),
		opener: cmp.Or(r.FormValue("open"), "backend"),
	}
	setCookie(w, r, signInCookie, a.String(), signInLimit)
	address := s.provider.AuthCodeURL(a.state, oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier))
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// callback receives the browser from the provider, and opens a session of Pawl for the user.
func (s *shop) callback(w http.ResponseWriter, r *http.Request) {
	a, ok := attemptOf(r)
	setCookie(w, r, signInCookie, "", 0)
	open := s.openers[a.opener]
	if !ok || open == nil || subtle.ConstantTimeCompare([]byte(a.state), []byte(r.FormValue("state"))) != 1 {
		show(w, http.StatusBadRequest, pageData{Problem: "This sign-in was not begun in this browser."})
		return
	}
	user, err := s.userOf(r.Context(), r.FormValue("code"), a)
	if err != nil {
		log.Print(err)
		show(w, http.StatusUnauthorized, pageData{Problem: "The provider did not sign you in."})
		return
	}
	token, err := open(r, user)
	if err != nil {
		unavailable(w, err)
		return
	}
	setCookie(w, r, sessionCookie, token, 0)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// signedIn is a user authenticated by the provider.
type signedIn struct {
	Subject       string `json:"sub"`
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	FirstName     string `json:"given_name"`
	LastName      string `json:"family_name"`

	idToken string
}

// userOf exchanges an authorization code for an ID token, and checks the token.
func (s *shop) userOf(ctx context.Context, code string, a attempt) (signedIn, error) {
	tokens, err := s.provider.Exchange(ctx, code, oauth2.VerifierOption(a.verifier))
	if err != nil {
		return signedIn{}, err
	}
	text, _ := tokens.Extra("id_token").(string)
	verified, err := s.idTokens.Verify(ctx, text)
	if err != nil {
		return signedIn{}, err
	}
	if verified.Nonce != a.nonce {
		return signedIn{}, errors.New("the nonce of the ID token is that of another sign-in")
	}
	user := signedIn{idToken: text}
	return user, verified.Claims(&user)
}

// attempt has the secrets of a sign-in: state against forged callbacks, nonce against a stolen ID token, and verifier
// against a stolen code (PKCE, RFC 7636). opener is the name of the opener to use.
type attempt struct{ state, nonce, verifier, opener string }

func (a attempt) String() string {
	return strings.Join([]string{a.state, a.nonce, a.verifier, a.opener}, ".")
}

// attemptOf returns the sign-in of a browser.
func attemptOf(r *http.Request) (attempt, bool) {
	parts := strings.Split(cookieOf(r, signInCookie), ".")
	if len(parts) != 4 {
		return attempt{}, false
	}
	return attempt{state: parts[0], nonce: parts[1], verifier: parts[2], opener: parts[3]}, true
}
