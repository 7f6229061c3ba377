package client

import (
	"context"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/token"
)

// clockSkew is how far iat and nbf may be ahead of the estimated server time. It does not apply to exp, so that no
// token lives longer than Pawl intended.
const clockSkew = time.Minute

// Verify checks a token and returns the caller described by its claims. The caller has no Login, because a token has
// none. Verify returns ErrInvalidSession if the token is not valid, and ErrUnavailable if the keys could not be read.
func (j *JWKS) Verify(ctx context.Context, text string) (api.SessionInfo, error) {
	claims, err := j.verify(ctx, text)
	if err != nil {
		return api.SessionInfo{}, err
	}
	return j.caller(claims)
}

type claims struct {
	jwt.Claims
	SessionID string    `json:"sid"`
	AuthLevel api.Level `json:"authLevel"`
	NetworkID int64     `json:"networkId"`
	MailboxID int64     `json:"mailboxId"`
	Actor     struct {
		Subject string `json:"sub"`
	} `json:"act"`
}

// verify returns the claims of a token with a valid signature. It does not check their values.
func (j *JWKS) verify(ctx context.Context, text string) (claims, error) {
	if len(text) > token.MaxLength {
		return claims{}, errInvalidToken
	}
	signed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return claims{}, errInvalidToken
	}
	header := signed.Headers[0] // the only one, because ParseSigned accepts no form but the compact one
	key, ok, err := j.key(ctx, header.KeyID)
	if err != nil {
		return claims{}, rejection(err)
	}
	var c claims
	// The algorithm comes from the key, never from the token alone (RFC 8725, 3.1).
	if !ok || key.Algorithm != header.Algorithm || signed.Claims(key.Key, &c) != nil {
		return claims{}, errInvalidToken
	}
	return c, nil
}

// isEarly reports whether claims seem to come from the future.
func (j *JWKS) isEarly(c claims) bool {
	limit := j.current().server.at(j.config.Clock()).Add(clockSkew)
	return c.IssuedAt.Time().After(limit) || c.NotBefore.Time().After(limit)
}

// caller returns the caller of verified claims, if their issuer, audience and times are valid.
func (j *JWKS) caller(c claims) (api.SessionInfo, error) {
	now := j.current().server.at(j.config.Clock())
	user, err := strconv.ParseInt(c.Subject, 10, 64)
	expected := jwt.Expected{Issuer: j.config.Issuer, AnyAudience: jwt.Audience{j.config.Audience}, Time: now}
	if err != nil || c.ValidateWithLeeway(expected, clockSkew) != nil {
		return api.SessionInfo{}, errInvalidToken
	}
	if c.Expiry == nil || !now.Before(c.Expiry.Time()) {
		return api.SessionInfo{}, errInvalidToken
	}
	expires := api.NewTime(c.Expiry.Time())
	return api.SessionInfo{
		UserID: user, NetworkID: c.NetworkID, MailboxID: c.MailboxID, AuthLevel: c.AuthLevel, ExpiresAt: &expires,
	}, nil
}
