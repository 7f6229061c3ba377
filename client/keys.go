package client

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

// GenerateAPIKey makes a user's primary key and returns it, once; the earlier one
// is dead.
func (c *Client) GenerateAPIKey(ctx context.Context, userID int64) (string, error) {
	return do[string](ctx, c, post(fmt.Sprintf("/v2/users/key-generate/%d", userID), nil))
}

// CreateAPIKey makes a key. Only this answer has the key itself.
func (c *Client) CreateAPIKey(ctx context.Context, r api.CreateAPIKeyRequest) (api.APIKey, error) {
	return do[api.APIKey](ctx, c, post("/v2/keys/create", r))
}

// ListAPIKeys lists the keys of a user, masked.
func (c *Client) ListAPIKeys(ctx context.Context, r api.ListAPIKeysRequest) ([]api.APIKey, error) {
	return do[[]api.APIKey](ctx, c, post("/v2/keys/list", r).twice())
}

// PrimaryAPIKey returns the record of a user's primary key, masked.
func (c *Client) PrimaryAPIKey(ctx context.Context, userID int64) (api.APIKey, error) {
	return do[api.APIKey](ctx, c, post("/v2/keys/get-key", api.GetAPIKeyRequest{UserID: userID}).twice())
}

// DeleteAPIKey removes a key.
func (c *Client) DeleteAPIKey(ctx context.Context, keyID int64) error {
	return none(ctx, c, remove("/v2/keys", api.DeleteAPIKeyRequest{KeyID: keyID}))
}
