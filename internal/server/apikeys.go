package server

import (
	"context"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

func (s *server) generateAPIKey(ctx context.Context, r request, _ none) (response, error) {
	id, err := pathID(r)
	if err != nil {
		return response{}, err
	}
	text, err := s.authority.GeneratePrimaryAPIKey(ctx, r.caller, id)
	return secret(text), err
}

// readAPIKeyBack always returns an error. The vendor's call returns an API key, but Pawl stores only hashes of API
// keys.
func (s *server) readAPIKeyBack(context.Context, request, none) (response, error) {
	return response{}, &fault.Error{Kind: fault.NotFound,
		Message: "API keys are stored as hashes and cannot be read back; " +
			"create a new one with POST /v2/users/key-generate/{id}."}
}

// wireAPIKey converts an API key to its form on the wire. text is the API key itself or its mask.
func wireAPIKey(k authority.APIKey, text string) api.APIKey {
	wire := api.APIKey{
		KeyID: k.ID, UserID: k.UserID, Key: text,
		Visibility: api.Visibility(k.Visibility.String()), Created: wireTime(k.Created),
		Scope: api.Scope(k.Scope.String()), Name: k.Name,
	}
	if k.MaxLevel != 0 {
		wire.MaxLevel = api.Level(k.MaxLevel.String())
	}
	if k.Expires != 0 {
		wire.ExpiresAt = new(wireTime(k.Expires))
	}
	return wire
}

func (s *server) createAPIKey(ctx context.Context, r request, body api.CreateAPIKeyRequest) (response, error) {
	visibility, err := authority.ParseVisibility("visibility", string(body.Visibility))
	if err != nil {
		return response{}, err
	}
	scope, err := optional("scope", body.Scope, authority.ParseScope)
	if err != nil {
		return response{}, err
	}
	maxLevel, err := optional("maxLevel", body.MaxLevel, authority.ParseLevel)
	if err != nil {
		return response{}, err
	}
	n := authority.NewAPIKey{
		UserID: body.UserID, Visibility: visibility, Scope: scope, MaxLevel: maxLevel, Name: body.Name,
	}
	if body.ExpiresAt != nil {
		n.Expires = max(1, body.ExpiresAt.Unix()) // 0 would be never
	}
	key, text, err := s.authority.CreateAPIKey(ctx, r.caller, n)
	return secret(wireAPIKey(key, text)), err
}

func (s *server) listAPIKeys(ctx context.Context, r request, body api.ListAPIKeysRequest) (response, error) {
	visibility, err := optional("visibility", body.Visibility, authority.ParseVisibility)
	if err != nil {
		return response{}, err
	}
	keys, err := s.authority.APIKeys(ctx, r.caller, body.UserID, visibility)
	list := make([]api.APIKey, len(keys))
	for i, k := range keys {
		list[i] = wireAPIKey(k, k.Mask)
	}
	return ok(list), err
}

func (s *server) primaryAPIKey(ctx context.Context, r request, body api.GetAPIKeyRequest) (response, error) {
	key, err := s.authority.PrimaryAPIKey(ctx, r.caller, body.UserID)
	return ok(wireAPIKey(key, key.Mask)), err
}

func (s *server) deleteAPIKey(ctx context.Context, r request, body api.DeleteAPIKeyRequest) (response, error) {
	return ok(true), s.authority.DeleteAPIKey(ctx, r.caller, body.KeyID)
}
