package client

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

// GenerateKey makes a user's primary key and returns it, once; the earlier one
// is dead.
func (c *Client) GenerateKey(ctx context.Context, userID int64) (string, error) {
	return do[string](ctx, c, post(fmt.Sprintf("/v2/users/key-generate/%d", userID), nil))
}

// CreateKey makes a key. Only this answer has the key itself.
func (c *Client) CreateKey(ctx context.Context, r api.CreateKeyRequest) (api.Key, error) {
	return do[api.Key](ctx, c, post("/v2/keys/create", r))
}

// ListKeys lists the keys of a user, masked.
func (c *Client) ListKeys(ctx context.Context, r api.ListKeysRequest) ([]api.Key, error) {
	return do[[]api.Key](ctx, c, post("/v2/keys/list", r).twice())
}

// PrimaryKey returns the record of a user's primary key, masked.
func (c *Client) PrimaryKey(ctx context.Context, userID int64) (api.Key, error) {
	return do[api.Key](ctx, c, post("/v2/keys/get-key", api.GetKeyRequest{UserID: userID}).twice())
}

// DeleteKey removes a key.
func (c *Client) DeleteKey(ctx context.Context, keyID int64) error {
	return none(ctx, c, remove("/v2/keys", api.DeleteKeyRequest{KeyID: keyID}))
}
