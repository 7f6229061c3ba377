package client

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

// headerHS256 begins every token that a Pawl has signed with HS256.
var headerHS256 = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "."

// read returns the entry of a token, without its hash. The token was valid when it was issued, unless byPawl is set.
func (v *Verifier) read(ctx context.Context, text string) (*verifiedToken, error) {
	generation := v.jwks.generation.Load() // before the check, so that a key removed meanwhile causes another check
	if strings.HasPrefix(text, headerHS256) {
		var unverified claims
		if !decodePayload(text, &unverified) {
			return nil, errInvalidToken
		}
		return entryByPawl(unverified)
	}
	verified, err := v.jwks.verify(ctx, text)
	if err != nil {
		return nil, err
	}
	if v.jwks.isEarly(verified) { // valid, if the server's clock was set back
		return entryByPawl(verified)
	}
	caller, err := v.jwks.caller(verified)
	if err != nil {
		return nil, err
	}
	e, err := entryOf(verified)
	if err != nil {
		return nil, err
	}
	e.keys = generation
	e.caller.SessionInfo = caller
	return e, nil
}

// entryByPawl returns the entry of a token that only Pawl can judge.
func entryByPawl(c claims) (*verifiedToken, error) {
	e, err := entryOf(c)
	if err == nil {
		e.byPawl = true
	}
	return e, err
}

// decodePayload decodes the middle part of a token, without a check of its signature.
func decodePayload(text string, c *claims) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && json.Unmarshal(payload, c) == nil
}

// entryOf returns the entry of a token with claims. Its caller has only the claims.
func entryOf(c claims) (*verifiedToken, error) {
	id, ok := token.ParseSessionID(c.SessionID)
	session, number, _ := strings.Cut(c.ID, ".")
	generation, err := strconv.ParseUint(number, 10, 32)
	user, userErr := strconv.ParseInt(c.Subject, 10, 64)
	actor, actorErr := strconv.ParseInt(cmp.Or(c.Actor.Subject, "0"), 10, 64)
	if !ok || session != c.SessionID || errors.Join(err, userErr, actorErr) != nil ||
		c.IssuedAt == nil || c.Expiry == nil {
		return nil, errInvalidToken
	}
	expires := api.NewTime(c.Expiry.Time())
	return &verifiedToken{
		token: revocation.Token{
			Session: id, Generation: uint32(generation), UserID: user, ActorID: actor,
			IssuedAt: c.IssuedAt.Time().Unix(), Expires: c.Expiry.Time().Unix(),
		},
		caller: VerifiedToken{
			SessionInfo: api.SessionInfo{
				UserID: user, NetworkID: c.NetworkID, MailboxID: c.MailboxID, AuthLevel: c.AuthLevel,
				ExpiresAt: &expires,
			},
			SessionID: c.SessionID,
		},
	}, nil
}
