package client

import (
	"context"
	"fmt"
	"iter"

	"github.com/pawlauth/pawl/api"
)

// CreateUser creates a user. It returns ErrDuplicateObject if the login or the external id is taken.
func (c *Client) CreateUser(ctx context.Context, r api.CreateUserRequest) (api.User, error) {
	return do[api.User](ctx, c, post("/v2/users", r))
}

// User returns a user. It returns ErrObjectNotFound if the user does not exist or the caller may not see it.
func (c *Client) User(ctx context.Context, userID int64) (api.User, error) {
	return do[api.User](ctx, c, get(fmt.Sprintf("/v2/users/%d", userID)))
}

// Me returns the caller's own user.
func (c *Client) Me(ctx context.Context) (api.User, error) {
	return do[api.User](ctx, c, get("/v2/users/me"))
}

// ListUsers returns one page of the users administered by the caller.
func (c *Client) ListUsers(ctx context.Context, r api.ListUsersRequest) ([]api.User, error) {
	return do[[]api.User](ctx, c, post("/v2/users/list", r).idempotent())
}

// AllUsers returns an iterator over the users of ListUsers, from r's page to the last. It fetches each page when the
// loop reaches it, with 500 users a page unless r.RecordsPerPage is set. The first error ends the iteration.
func (c *Client) AllUsers(ctx context.Context, r api.ListUsersRequest) iter.Seq2[api.User, error] {
	return allPages(r.PageNo, r.RecordsPerPage, func(page, size *int64) ([]api.User, error) {
		r := r
		r.PageNo, r.RecordsPerPage = page, size
		return c.ListUsers(ctx, r)
	})
}

// UsersByName returns a list with the user of that login, or an empty list if the user does not exist or the caller may
// not see it.
func (c *Client) UsersByName(ctx context.Context, login string) ([]api.User, error) {
	return do[[]api.User](ctx, c, post("/v2/users/by-name", api.UserByNameRequest{Login: login}).idempotent())
}

// UsersByExternalID returns a list with the user of that external id, or an empty list if the user does not exist or
// the caller may not see it.
func (c *Client) UsersByExternalID(ctx context.Context, externalID string) ([]api.User, error) {
	r := api.UserByNameRequest{ExternalID: externalID}
	return do[[]api.User](ctx, c, post("/v2/users/by-name", r).idempotent())
}

// UpdateUser changes names, email, external id and status, and returns the changed user.
func (c *Client) UpdateUser(ctx context.Context, r api.UpdateUserRequest) (api.User, error) {
	return do[api.User](ctx, c, put("/v2/users", r).idempotent())
}

// SetRole changes a user's level, and the tenant if r has one. It returns the changed user.
func (c *Client) SetRole(ctx context.Context, r api.RoleRequest) (api.User, error) {
	return do[api.User](ctx, c, post("/v2/users/role", r).idempotent())
}

// SetTenant moves a user to another network or mailbox, and returns the changed user.
func (c *Client) SetTenant(ctx context.Context, r api.TenantRequest) (api.User, error) {
	return do[api.User](ctx, c, post("/v2/users/set-network-mailbox", r).idempotent())
}

// SetPassword sets the password of another user. The user's sessions continue unless r revokes them.
func (c *Client) SetPassword(ctx context.Context, r api.SetPasswordRequest) error {
	return doNoData(ctx, c, post("/v2/users/password", r).idempotent())
}

// GeneratePassword returns a random password that meets the server's rules. The server does not store it.
func (c *Client) GeneratePassword(ctx context.Context, r api.GeneratePasswordRequest) (string, error) {
	return do[string](ctx, c, post("/v2/users/generate-password", r).idempotent())
}

// ResetUser ends every session of a user.
func (c *Client) ResetUser(ctx context.Context, userID int64) error {
	return doNoData(ctx, c, post(fmt.Sprintf("/v2/users/reset/%d", userID), nil).idempotent())
}

// ResetMe ends every session of the caller. EndOwnSessions can keep the current one.
func (c *Client) ResetMe(ctx context.Context) error {
	return doNoData(ctx, c, post("/v2/users/reset/me", nil))
}

// TerminateUser sets a user to api.StatusTerminated permanently. Its sessions and API keys end.
func (c *Client) TerminateUser(ctx context.Context, userID int64) error {
	return doNoData(ctx, c, remove(fmt.Sprintf("/v2/users/%d", userID), nil))
}
