package client

import (
	"context"

	"github.com/pawlauth/pawl/api"
)

// AddReceiver adds a receiver of security event tokens. It gets the events from now on. This call and the three below
// are for a user of api.LevelRoot; others get ErrAccessDenied.
func (c *Client) AddReceiver(ctx context.Context, r api.AddReceiverRequest) (api.Receiver, error) {
	return do[api.Receiver](ctx, c, post("/v2/receivers/add", r))
}

// Receivers lists the receivers, oldest first.
func (c *Client) Receivers(ctx context.Context) ([]api.Receiver, error) {
	return do[[]api.Receiver](ctx, c, post("/v2/receivers/list", nil).idempotent())
}

// RemoveReceiver removes a receiver. It returns ErrObjectNotFound if there is none.
func (c *Client) RemoveReceiver(ctx context.Context, id string) error {
	return doNoData(ctx, c, remove("/v2/receivers", api.ReceiverRequest{ReceiverID: id}))
}

// TestReceiver delivers a test token to a receiver, once. It returns ErrObjectNotFound if there is none.
func (c *Client) TestReceiver(ctx context.Context, id string) (api.ReceiverTest, error) {
	return do[api.ReceiverTest](ctx, c, post("/v2/receivers/test", api.ReceiverRequest{ReceiverID: id}))
}
