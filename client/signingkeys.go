package client

import (
	"context"

	"github.com/pawlauth/pawl/api"
)

// SigningKeys lists the keys that sign tokens, newest first. It is for Root, as
// are the two below.
func (c *Client) SigningKeys(ctx context.Context) ([]api.SigningKey, error) {
	return do[[]api.SigningKey](ctx, c, post("/v2/signing-keys/list", nil).twice())
}

// RotateSigningKey publishes a new key, which signs later: see its SignsFrom.
func (c *Client) RotateSigningKey(ctx context.Context) (api.SigningKey, error) {
	return do[api.SigningKey](ctx, c, post("/v2/signing-keys/rotate", nil))
}

// RetireSigningKey ends a key whose tokens are over, or with r.Now one that leaked.
func (c *Client) RetireSigningKey(ctx context.Context, r api.RetireSigningKeyRequest) error {
	return none(ctx, c, remove("/v2/signing-keys", r))
}
