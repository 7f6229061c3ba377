package client

import (
	"context"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/token"
)

// clockSkew is how far the server's clock may be ahead. No such time is given
// to exp: a token is not to outlive what Pawl says.
const clockSkew = time.Minute

// Verify returns what a token says of its caller, whose Login is empty: a token
// has none. ErrInvalidSession says that the token is not good, ErrUnavailable
// that nobody can tell, as the keys could not be read.
func (j *JWKS) Verify(ctx context.Context, text string) (api.SessionInfo, error) {
	signed, err := parse(text)
	if err != nil {
		return api.SessionInfo{}, errDead
	}
	header := signed.Headers[0]
	key, ok, err := j.key(ctx, header.KeyID)
	if err != nil {
		return api.SessionInfo{}, outcome(err)
	}
	var claims claims
	// The key says the algorithm, never the token (RFC 8725, 3.1).
	if !ok || key.Algorithm != header.Algorithm || signed.Claims(key.Key, &claims) != nil {
		return api.SessionInfo{}, errDead
	}
	return j.caller(claims)
}

// parse takes a token apart; what it says is not checked yet.
func parse(text string) (*jwt.JSONWebToken, error) {
	if len(text) > token.MaxLength {
		return nil, token.ErrMalformed
	}
	return jwt.ParseSigned(text, algorithms) // one header, as it reads the compact form alone
}

type claims struct {
	jwt.Claims
	AuthLevel api.Level `json:"authLevel"`
	NetworkID int64     `json:"networkId"`
	MailboxID int64     `json:"mailboxId"`
}

// caller is who the claims are about, if they are meant for here and now.
func (j *JWKS) caller(c claims) (api.SessionInfo, error) {
	now := j.config.Clock()
	user, err := strconv.ParseInt(c.Subject, 10, 64)
	meant := jwt.Expected{Issuer: j.config.Issuer, AnyAudience: jwt.Audience{j.config.Audience}, Time: now}
	if err != nil || c.ValidateWithLeeway(meant, clockSkew) != nil || c.Expiry == nil || !now.Before(c.Expiry.Time()) {
		return api.SessionInfo{}, errDead
	}
	expires := api.NewTime(c.Expiry.Time())
	return api.SessionInfo{UserID: user, NetworkID: c.NetworkID, MailboxID: c.MailboxID, AuthLevel: c.AuthLevel, ExpiresAt: &expires}, nil
}

// errDead does not say why, as Pawl does not.
var errDead = refused("The token is not valid any more; sign in again.")
