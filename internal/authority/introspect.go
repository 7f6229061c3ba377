package authority

import (
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// ActiveToken has the claims of a token accepted as a bearer, and its user's present state.
type ActiveToken struct {
	token.Claims
	User     *User
	Issuer   string
	Audience string
}

// Introspect returns the claims of a token and its user. The token must be accepted as a bearer. The caller, the user
// of the API key, must be the token's user or an admin of the user's tenant. Every other token is reported as inactive,
// so that callers learn nothing about it (RFC 7662, 2.2 and 4).
func (a *Authority) Introspect(
	ctx context.Context, apiKey string, open Access, text string,
) (t ActiveToken, active bool, err error) {
	b := a.verifyBearer(ctx, text)
	c, err := a.callerBeside(ctx, apiKey, &b, open)
	if err == nil {
		err = open.check(c)
	}
	if err != nil {
		return ActiveToken{}, false, err
	}
	s, _, err := a.checkSession(ctx, b, false)
	if err != nil && fault.KindOf(err) != fault.InvalidSession {
		return ActiveToken{}, false, err
	}
	active = err == nil && (c.User.ID == s.User.ID || c.User.administers(s.User.Tenant))
	a.metrics.Introspection(active)
	if !active {
		return ActiveToken{}, false, nil
	}
	t = ActiveToken{Claims: b.claims, User: s.User, Issuer: a.codec.Issuer(), Audience: a.codec.Audience()}
	return t, true, nil
}

// Revoke ends the session with text as its current token, even if the token has expired but can still be refreshed. Any
// other token is a no-op (RFC 7009, 2.2). To end the session of another user, the caller must be allowed to change the
// user.
func (a *Authority) Revoke(ctx context.Context, c Caller, text string) error {
	claims, err := a.verify(ctx, text)
	switch {
	case errors.Is(err, token.ErrMalformed), errors.Is(err, token.ErrInvalid):
		return nil
	case err != nil && !errors.Is(err, token.ErrExpired):
		return fault.FromStore(err, nil)
	}
	s, err := a.readSession(ctx, claims.Session)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return nil
	case err != nil:
		return fault.FromStore(err, nil)
	case claims.Generation != s.Session.Generation || a.now() >= s.Session.Idle:
		return nil
	}
	_, err = asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		owner, err := a.changeableUser(ctx, c, s.User.ID, true)
		if err != nil {
			return struct{}{}, hide(err, errTokenOwner)
		}
		return struct{}{}, fault.FromStore(a.endSession(ctx, c.rightsOn(owner), s.Session.ID), errTokenOwner)
	})
	return a.recordIfDone(ctx, err, c.event(s.User.event(audit.Event{
		Kind: audit.SessionEnded, Session: s.Session.ID, Actor: s.Session.ActorID(), Detail: "token revoked",
	})))
}
