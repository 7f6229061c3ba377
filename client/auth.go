package client

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"

	"github.com/pawlauth/pawl/api"
)

// Login opens a session. ErrInvalidCredentials says that the login or the
// password is wrong, or that the user may not sign in.
func (c *Client) Login(ctx context.Context, login, password string) (api.Token, error) {
	return doToken(ctx, c, post("/v2/auth/login", api.LoginRequest{Login: login, Password: password}))
}

// Refresh exchanges a token for the next one; the old one is dead then. It has
// an Idempotency-Key of its own, so that its tries lead to one successor. If it
// fails without an answer, the exchange may have been made: go on with
// RefreshWithKey, as a TokenSource does. ErrInvalidSession says that only a new
// login helps.
func (c *Client) Refresh(ctx context.Context, token string) (api.Token, error) {
	return c.RefreshWithIdempotencyKey(ctx, token, rand.Text())
}

// RefreshWithIdempotencyKey is Refresh with an Idempotency-Key of the caller's: for 2
// minutes the same token with the same key gets the same successor. A key is
// good for one token only, and is as secret as the token.
func (c *Client) RefreshWithIdempotencyKey(ctx context.Context, token, idempotencyKey string) (api.Token, error) {
	x := post("/v2/auth/refresh", api.RefreshRequest{Token: token})
	x.retryKey = idempotencyKey
	x.repeatable = idempotencyKey != ""
	return doToken(ctx, c, x)
}

var errNoTokenGiven = errors.New("client: the answer has no token; is the address Pawl's?")

// doToken is do for a call that gives a token, and gives one.
func doToken(ctx context.Context, c *Client, x call) (api.Token, error) {
	t, err := do[api.Token](ctx, c, x)
	if err == nil && t.Token == "" {
		err = errNoTokenGiven
	}
	return t, err
}

// Logout ends the session of the bearer. With a key alone it ends nothing.
func (c *Client) Logout(ctx context.Context) error {
	return none(ctx, c, post("/v2/auth/logout", nil))
}

// Session tells who the caller is.
func (c *Client) Session(ctx context.Context) (api.SessionInfo, error) {
	return do[api.SessionInfo](ctx, c, post("/v2/auth/session", nil).twice())
}

// ChangePassword changes the caller's own password.
func (c *Client) ChangePassword(ctx context.Context, r api.PasswordRequest) error {
	return none(ctx, c, put("/v2/auth/password", r))
}

// Version tells what the server runs.
func (c *Client) Version(ctx context.Context) (api.VersionInfo, error) {
	return do[api.VersionInfo](ctx, c, get("/v2/auth/version"))
}

// Sessions lists the live sessions of the caller; a UserID asks, as an
// administrator, for another's.
func (c *Client) Sessions(ctx context.Context, r api.SessionsRequest) ([]api.Session, error) {
	return do[[]api.Session](ctx, c, post("/v2/auth/sessions", r).twice())
}

// EndSession ends one session.
func (c *Client) EndSession(ctx context.Context, sessionID string) error {
	return none(ctx, c, remove("/v2/auth/sessions/"+url.PathEscape(sessionID), nil))
}
