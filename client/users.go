package client

import (
	"context"
	"fmt"
	"iter"

	"github.com/pawlauth/pawl/api"
)

// CreateUser makes a user. ErrDuplicateObject says that the login is taken.
func (c *Client) CreateUser(ctx context.Context, r api.CreateUserRequest) (api.User, error) {
	return do[api.User](ctx, c, post("/v2/users", r))
}

// User returns a user. ErrObjectNotFound says that there is none whom the
// caller may see.
func (c *Client) User(ctx context.Context, userID int64) (api.User, error) {
	return do[api.User](ctx, c, get(fmt.Sprintf("/v2/users/%d", userID)))
}

// Me returns the caller.
func (c *Client) Me(ctx context.Context) (api.User, error) {
	return do[api.User](ctx, c, get("/v2/users/me"))
}

// ListUsers returns one page of users.
func (c *Client) ListUsers(ctx context.Context, r api.ListUsersRequest) ([]api.User, error) {
	return do[[]api.User](ctx, c, post("/v2/users/list", r).twice())
}

// AllUsers goes through the pages of ListUsers, from r's on. It ends after the
// first error.
func (c *Client) AllUsers(ctx context.Context, r api.ListUsersRequest) iter.Seq2[api.User, error] {
	const most = 500 // users a page
	page, size := int64(1), int64(most)
	if r.PageNo != nil {
		page = *r.PageNo
	}
	if r.RecordsPerPage != nil {
		size = *r.RecordsPerPage
	}
	r.RecordsPerPage = &size
	return func(yield func(api.User, error) bool) {
		for r, n := r, page; ; n++ {
			r.PageNo = &n
			users, err := c.ListUsers(ctx, r)
			if err != nil {
				yield(api.User{}, err)
				return
			}
			for _, u := range users {
				if !yield(u, nil) {
					return
				}
			}
			if int64(len(users)) < size {
				return
			}
		}
	}
}

// UsersByName returns the user with that login, or an empty list.
func (c *Client) UsersByName(ctx context.Context, login string) ([]api.User, error) {
	return do[[]api.User](ctx, c, post("/v2/users/by-name", api.UserByNameRequest{Login: login}).twice())
}

// UpdateUser changes names, email and status.
func (c *Client) UpdateUser(ctx context.Context, r api.UpdateUserRequest) (api.User, error) {
	return do[api.User](ctx, c, put("/v2/users", r).twice())
}

// SetRole changes a user's level, and its place if one is given.
func (c *Client) SetRole(ctx context.Context, r api.RoleRequest) (api.User, error) {
	return do[api.User](ctx, c, post("/v2/users/role", r).twice())
}

// SetTenant moves a user to another network or mailbox.
func (c *Client) SetTenant(ctx context.Context, r api.TenantRequest) (api.User, error) {
	return do[api.User](ctx, c, post("/v2/users/set-network-mailbox", r).twice())
}

// SetPassword sets the password of another user. The user's sessions go on.
func (c *Client) SetPassword(ctx context.Context, userID int64, newPassword string) error {
	return none(ctx, c, post("/v2/users/password", api.SetPasswordRequest{UserID: userID, NewPassword: newPassword}).twice())
}

// GeneratePassword returns a random password that keeps the rules.
func (c *Client) GeneratePassword(ctx context.Context, r api.GeneratePasswordRequest) (string, error) {
	return do[string](ctx, c, post("/v2/users/generate-password", r).twice())
}

// ResetUser ends every session of a user.
func (c *Client) ResetUser(ctx context.Context, userID int64) error {
	return none(ctx, c, post(fmt.Sprintf("/v2/users/reset/%d", userID), nil).twice())
}

// TerminateUser ends a user for good, with sessions and keys.
func (c *Client) TerminateUser(ctx context.Context, userID int64) error {
	return none(ctx, c, remove(fmt.Sprintf("/v2/users/%d", userID), nil))
}
