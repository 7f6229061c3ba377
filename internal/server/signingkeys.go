package server

import (
	"context"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority/keyring"
)

func wireSigningKey(k keyring.Info) api.SigningKey {
	return api.SigningKey{
		KeyID: k.ID, Algorithm: string(k.Algorithm), State: api.SigningKeyState(k.State),
		Published: timeOrNull(k.PublishedAt), SignsFrom: timeOrNull(k.SignsFrom),
		RetirableFrom: timeOrNull(k.RetirableAt), Retired: timeOrNull(k.RetiredAt),
	}
}

// timeOrNull returns a time on the wire, or nil if it is not set.
func timeOrNull(unix int64) *api.Time {
	if unix == 0 {
		return nil
	}
	return new(wireTime(unix))
}

func (s *server) listSigningKeys(ctx context.Context, r request, _ none) (response, error) {
	keys, err := s.authority.SigningKeys(ctx, r.caller)
	list := make([]api.SigningKey, len(keys))
	for i, k := range keys {
		list[i] = wireSigningKey(k)
	}
	return ok(list), err
}

func (s *server) rotateSigningKey(ctx context.Context, r request, _ none) (response, error) {
	key, err := s.authority.RotateSigningKey(ctx, r.caller)
	return ok(wireSigningKey(key)), err
}

func (s *server) retireSigningKey(ctx context.Context, r request, body api.RetireSigningKeyRequest) (response, error) {
	return ok(true), s.authority.RetireSigningKey(ctx, r.caller, body.KeyID, body.Now)
}
