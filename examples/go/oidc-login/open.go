package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

// issuerPrefix is put before the provider's id of a user. The externalIdPrefix of the trusted issuer must be the same,
// so that both ways to open a session name the same user.
const issuerPrefix = "idp:"

// opener opens a session of Pawl for a user signed in at the provider, and returns its token.
type opener func(r *http.Request, user signedIn) (token string, err error)

// backend opens sessions by itself, because it has checked the ID token.
type backend struct{ pawl *client.Client }

// open opens a session with the device and the address of the user. The first sign-in of a user creates the user in
// Pawl.
func (b backend) open(r *http.Request, user signedIn) (string, error) {
	id := issuerPrefix + user.Subject
	created := api.CreateUserRequest{
		Login:     id, // unlike an email address, it never changes and cannot be that of another user
		FirstName: user.FirstName, LastName: user.LastName,
	}
	if user.EmailVerified {
		created.Email = user.Email
	}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr) // behind a proxy, take it from the header that the proxy sets
	token, err := b.pawl.OpenSession(r.Context(), api.OpenSessionRequest{
		ExternalID: id, User: &created, Device: "browser", IP: ip, UserAgent: r.UserAgent(),
	})
	return token.Token, err
}

// exchange lets Pawl check the ID token, and open the session by it (RFC 7523).
type exchange struct{ url, key string }

// open sends a request that any OAuth library can send too.
func (e exchange) open(r *http.Request, user signedIn) (string, error) {
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {user.idToken},
		"client_secret": {e.key},
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, e.url+"/oauth2/token",
		strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var got struct {
		api.TokenResponse
		api.OAuthError
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&got); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the token endpoint answered %s: %s", got.Code, got.Description)
	}
	return got.AccessToken, nil
}
