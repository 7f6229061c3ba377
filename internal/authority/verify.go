package authority

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// verify reads a token. One of a key that this node does not know yet may be of
// a key that another node made. The error is the codec's, or ErrUnavailable.
func (a *Authority) verify(ctx context.Context, text string) (token.Claims, error) {
	if err := a.keys.Follow(ctx); err != nil {
		return token.Claims{}, err
	}
	claims, err := a.codec.Verify(text, a.clock())
	if err != token.ErrInvalid {
		return claims, err
	}
	again, err := a.keys.Learn(ctx, text)
	if err != nil {
		return token.Claims{}, err
	}
	if !again {
		return token.Claims{}, token.ErrInvalid
	}
	return a.codec.Verify(text, a.clock())
}

// tokenError is the answer to an error of verify; bad is that to a token that
// is not good.
func tokenError(err, bad error) error {
	switch err {
	case token.ErrMalformed, token.ErrInvalid, token.ErrExpired:
		return bad
	}
	return fault.FromStore(err, nil)
}
