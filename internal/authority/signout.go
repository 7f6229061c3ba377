package authority

import (
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// SignOutRequest describes a sign-out.
type SignOutRequest struct {
	Token  string // "" if the request has none
	APIKey string // "" if the request has none
	Open   Access // the callers that the call is open to, besides those with a bearer
	From   Origin
}

// SignOut ends the session of a token that passes as a bearer, or that a refresh without an Idempotency-Key would
// accept: an expired token before the end of its idle time, or one whose refresh would be replayed. A request with an
// API key alone ends nothing, and the key stays valid.
//
// The browser removes its cookie with the response. It could never show a stolen session to a refresh after that, so
// the superseded token of a cookie ends its session too: as theft if it was superseded long ago.
func (a *Authority) SignOut(ctx context.Context, r SignOutRequest) error {
	if r.Token == "" && r.APIKey == "" {
		return errNoCredentials
	}
	var caller Caller
	if r.APIKey != "" {
		var err error
		if caller, err = a.callerByAPIKey(ctx, r.APIKey); err != nil {
			return err
		}
	}
	if r.Token == "" {
		return r.Open.check(caller)
	}
	claims, tokenErr := a.verify(ctx, r.Token)
	switch expired := errors.Is(tokenErr, token.ErrExpired); {
	case errors.Is(tokenErr, token.ErrMalformed), errors.Is(tokenErr, token.ErrInvalid):
		return errSession
	case tokenErr != nil && !expired:
		return fault.FromStore(tokenErr, nil)
	case r.From.Cookie && !claims.Cookie:
		return errSession
	}
	s, err := a.readSession(ctx, claims.Session)
	if err != nil {
		return fault.FromStore(err, errSessionEnded)
	}
	theft, err := a.checkSignOut(&s.Session, claims, tokenErr, r)
	if err == nil {
		caller.actor, err = a.liveActor(ctx, s.Session)
	}
	if err != nil {
		return err
	}
	caller.User, caller.Session = s.User, &s.Session
	caller.Generation = s.Session.Generation
	caller.grace, caller.Address = a.policy.BearerGrace, r.From.IP
	if err := r.Open.check(caller); err != nil {
		return err
	}
	if theft {
		_, _, err := a.endStolen(ctx, s, claims.Generation, r.From)
		return err
	}
	return a.endOwn(ctx, caller, r.From.Cookie)
}

// checkSignOut returns nil if a verified token may end its session, and whether it is taken for stolen.
func (a *Authority) checkSignOut(
	s *Session, claims token.Claims, tokenErr error, r SignOutRequest,
) (theft bool, err error) {
	now := a.now()
	switch {
	case now >= s.Idle:
		return false, errSessionEnded
	case claims.Generation == s.Generation:
		return false, nil
	case tokenErr == nil && acceptsBearer(*s, claims.Generation, now, a.policy):
		return false, nil
	}
	rotation := Rotation{From: claims.Generation, At: now, Shared: r.From.Cookie}
	kind := classifyReuse(*s, claims.IssuedAt, rotation, a.policy)
	if kind != reuseReplay && !r.From.Cookie {
		return false, errSession
	}
	return kind == reuseTheft, nil
}

// endOwn ends the caller's session. A bearer must still be current then, a cookie need not be.
func (a *Authority) endOwn(ctx context.Context, c Caller, cookie bool) error {
	_, err := asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		rights := c.rightsOn(nil)
		if cookie {
			rights.Actor.Session = token.SessionID{}
		}
		return struct{}{}, fault.FromStore(a.endSession(ctx, rights, c.Session.ID), nil)
	})
	event := c.event(c.User.event(audit.Event{Kind: audit.Logout, Session: c.Session.ID}))
	return a.recordIfDone(ctx, err, event)
}
