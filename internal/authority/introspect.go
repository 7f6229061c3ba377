package authority

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// ActiveToken is what a token that passes as a bearer says, and its user as it
// is now.
type ActiveToken struct {
	token.Claims
	User     *User
	Issuer   string
	Audience string
}

var errNotYourToken = &fault.Error{Kind: fault.AccessDenied, Message: "The token is of a user whose sessions you may not end; ask an administrator."}

// Issuer is the iss of tokens.
func (a *Authority) Issuer() string { return a.codec.Issuer() }

// Introspect tells the caller of a token that passes as a bearer, if the caller
// is its user or an admin of the user's place. All else is not active: so it
// tells nobody more (RFC 7662, 2.2 and 4).
func (a *Authority) Introspect(ctx context.Context, c Caller, text string) (t ActiveToken, active bool, err error) {
	if t, active, err = a.introspect(ctx, c, text); err == nil {
		a.metrics.Introspection(active)
	}
	return t, active, err
}

func (a *Authority) introspect(ctx context.Context, c Caller, text string) (t ActiveToken, active bool, err error) {
	claims, live, err := a.bearer(ctx, text)
	if err == errSession {
		return ActiveToken{}, false, nil
	}
	if err != nil || c.User.ID != live.User.ID && !c.User.administers(live.User.Tenant) {
		return ActiveToken{}, false, err
	}
	return ActiveToken{claims, live.User, a.codec.Issuer(), a.codec.Audience()}, true, nil
}

// Revoke ends the session of its current token. A token that is not good, or
// not current, ends nothing, and that is no error (RFC 7009, 2.2); to end
// another's session the caller must be one who may change that user.
func (a *Authority) Revoke(ctx context.Context, c Caller, text string) error {
	claims, live, err := a.bearer(ctx, text)
	if err == errSession || err == nil && claims.Generation != live.Session.Generation {
		return nil
	}
	if err != nil {
		return err
	}
	above := live.User.Level < c.User.Level
	if c.User.ID != live.User.ID && (above || !c.User.administers(live.User.Tenant)) {
		return errNotYourToken
	}
	err = fault.FromStore(a.endSession(ctx, live.Session.ID), nil)
	return a.done(ctx, err, c.did(audit.Event{Kind: audit.SessionEnded, User: live.User.ID, Session: live.Session.ID, Detail: "token revoked"}))
}
