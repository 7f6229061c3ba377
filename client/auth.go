package client

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"net/url"

	"github.com/pawlauth/pawl/api"
)

// Login opens a session and returns its first token. It returns ErrInvalidCredentials if the login is unknown, the
// password is wrong, or the user may not sign in.
func (c *Client) Login(ctx context.Context, login, password string) (api.Token, error) {
	return doToken(ctx, c, post("/v2/auth/login", api.LoginRequest{Login: login, Password: password}))
}

// LoginWithAPIKey opens a session of an API key's user, and returns its first token. The key must be of api.ScopeFull.
// It returns ErrInvalidAPIKey if the key is not valid.
func (c *Client) LoginWithAPIKey(ctx context.Context, key string) (api.Token, error) {
	return doToken(ctx, c, post("/v2/auth/login", api.LoginRequest{APIKey: key}))
}

// Refresh exchanges a token for its successor. As soon as it succeeds, the token itself is rejected. It
// returns ErrInvalidSession if the token is expired or superseded, or if its session has ended: sign in again.
//
// All attempts of one call have the same Idempotency-Key, and therefore lead to the same successor. If the last attempt
// gets no response, the exchange may have happened all the same. A second call of Refresh would then fail, because it
// has another key; if the session must not be lost, use RefreshWithIdempotencyKey or a TokenSource.
func (c *Client) Refresh(ctx context.Context, token string) (api.Token, error) {
	return c.RefreshWithIdempotencyKey(ctx, token, rand.Text())
}

// RefreshWithIdempotencyKey is a Refresh with an idempotency key of the caller. For 2 minutes, a call with the same
// token and the same key returns the same successor. Use a key for one token only, and keep it as secret as the token.
// With an empty key, a lost response is not retried.
func (c *Client) RefreshWithIdempotencyKey(ctx context.Context, token, key string) (api.Token, error) {
	x := post("/v2/auth/refresh", api.RefreshRequest{Token: token})
	x.idempotencyKey = key
	x.isIdempotent = key != ""
	return doToken(ctx, c, x)
}

var errNoToken = errors.New("client: the response has no token; is the address right?")

// doToken makes a call for a token, and requires one in the response.
func doToken(ctx context.Context, c *Client, x call) (api.Token, error) {
	t, err := do[api.Token](ctx, c, x)
	if err == nil && t.Token == "" {
		err = errNoToken
	}
	return t, err
}

// OpenSession opens a session for a user authenticated by the calling program, and returns the session's first token.
// The client needs an API key of api.ScopeOpenSessions or api.ScopeFull, or the bearer of an administrator. It
// returns ErrObjectNotFound if there is no such user and r has no user to create.
func (c *Client) OpenSession(ctx context.Context, r api.OpenSessionRequest) (api.Token, error) {
	return doToken(ctx, c, post("/v2/auth/sessions/open", r))
}

// Logout ends the session of the client's bearer. With an API key alone it is a no-op.
func (c *Client) Logout(ctx context.Context) error {
	return doNoData(ctx, c, post("/v2/auth/logout", nil))
}

// Session returns the caller: the user of the client's bearer, or else of its API key. It returns ErrInvalidSession or
// ErrInvalidAPIKey if the credentials are not valid.
func (c *Client) Session(ctx context.Context) (api.SessionInfo, error) {
	return do[api.SessionInfo](ctx, c, sessionCall)
}

var sessionCall = post("/v2/auth/session", nil).idempotent()

// ChangePassword changes the caller's own password. It returns ErrInvalidCredentials if the current password is wrong,
// and ErrInvalidParameter if the new one breaks the rules.
func (c *Client) ChangePassword(ctx context.Context, r api.PasswordRequest) error {
	return doNoData(ctx, c, put("/v2/auth/password", r))
}

// Version returns the versions of the contract and of the server. It needs no credentials.
func (c *Client) Version(ctx context.Context) (api.VersionInfo, error) {
	return do[api.VersionInfo](ctx, c, get("/v2/auth/version"))
}

// Sessions returns one page of the live sessions of the caller. If the caller is an administrator, r can also select
// the sessions of another user, or of all users that the caller administers.
func (c *Client) Sessions(ctx context.Context, r api.SessionsRequest) ([]api.Session, error) {
	return do[[]api.Session](ctx, c, post("/v2/auth/sessions", r).idempotent())
}

// AllSessions returns an iterator over the sessions of Sessions, from r's page to the last. It fetches each page when
// the loop reaches it, with 500 sessions a page unless r.RecordsPerPage is set. If sessions end between two pages, the
// iteration can miss others. The first error ends the iteration.
func (c *Client) AllSessions(ctx context.Context, r api.SessionsRequest) iter.Seq2[api.Session, error] {
	return allPages(r.PageNo, r.RecordsPerPage, func(page, size *int64) ([]api.Session, error) {
		r := r
		r.PageNo, r.RecordsPerPage = page, size
		return c.Sessions(ctx, r)
	})
}

// EndOwnSessions ends every session of the caller, and returns how many ended. With exceptCurrent it keeps the session
// of the client's bearer.
func (c *Client) EndOwnSessions(ctx context.Context, exceptCurrent bool) (int64, error) {
	r := api.EndSessionsRequest{ExceptCurrent: exceptCurrent}
	return do[int64](ctx, c, post("/v2/auth/sessions/end-all", r))
}

// EndSession ends one session. It returns ErrObjectNotFound if the session has ended already.
func (c *Client) EndSession(ctx context.Context, sessionID string) error {
	return doNoData(ctx, c, remove("/v2/auth/sessions/"+url.PathEscape(sessionID), nil))
}
