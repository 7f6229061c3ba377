package client

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

// GenerateAPIKey creates a user's primary API key and returns it. The server never shows the key again. The user's
// earlier primary key is revoked.
func (c *Client) GenerateAPIKey(ctx context.Context, userID int64) (string, error) {
	return do[string](ctx, c, post(fmt.Sprintf("/v2/users/key-generate/%d", userID), nil))
}

// CreateAPIKey creates an API key. Only this response has the key itself.
func (c *Client) CreateAPIKey(ctx context.Context, r api.CreateAPIKeyRequest) (api.APIKey, error) {
	return do[api.APIKey](ctx, c, post("/v2/keys/create", r))
}

// ListAPIKeys lists the API keys of a user, masked.
func (c *Client) ListAPIKeys(ctx context.Context, r api.ListAPIKeysRequest) ([]api.APIKey, error) {
	return do[[]api.APIKey](ctx, c, post("/v2/keys/list", r).idempotent())
}

// PrimaryAPIKey returns the primary API key of a user, masked. It returns ErrObjectNotFound if the user has none.
func (c *Client) PrimaryAPIKey(ctx context.Context, userID int64) (api.APIKey, error) {
	return do[api.APIKey](ctx, c, post("/v2/keys/get-key", api.GetAPIKeyRequest{UserID: userID}).idempotent())
}

// DeleteAPIKey removes an API key. It returns ErrObjectNotFound if the key does not exist.
func (c *Client) DeleteAPIKey(ctx context.Context, keyID int64) error {
	return doNoData(ctx, c, remove("/v2/keys", api.DeleteAPIKeyRequest{KeyID: keyID}))
}
