package client

import (
	"context"

	"github.com/pawlauth/pawl/api"
)

// SigningKeys lists the signing keys, newest first. This call and the two below are for a user of api.LevelRoot; others
// get ErrAccessDenied.
func (c *Client) SigningKeys(ctx context.Context) ([]api.SigningKey, error) {
	return do[[]api.SigningKey](ctx, c, post("/v2/signing-keys/list", nil).idempotent())
}

// RotateSigningKey publishes a new signing key. It starts to sign at its SignsFrom.
func (c *Client) RotateSigningKey(ctx context.Context) (api.SigningKey, error) {
	return do[api.SigningKey](ctx, c, post("/v2/signing-keys/rotate", nil))
}

// RetireSigningKey retires a signing key whose tokens have expired. With r.Now it retires a leaked key at once, and its
// tokens are rejected.
func (c *Client) RetireSigningKey(ctx context.Context, r api.RetireSigningKeyRequest) error {
	return doNoData(ctx, c, remove("/v2/signing-keys", r))
}
