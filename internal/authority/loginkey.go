package authority

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// LoginWithAPIKey opens a session of an API key's user. The session ends when the key expires, if not before. It
// continues if the key is removed. A key that ends with a session opens none, because the new session would outlive it.
func (a *Authority) LoginWithAPIKey(
	ctx context.Context, apiKey string, open Access, from Origin,
) (IssuedToken, error) {
	issued, err := a.loginWithAPIKey(ctx, apiKey, open, from)
	outcome := LoginOpened
	switch kind := fault.KindOf(err); {
	case kind == fault.InvalidAPIKey, kind == fault.AccessDenied:
		outcome = LoginRejected
	case err != nil:
		result, _ := loginFailure(err)
		outcome = result.outcome
	}
	a.metrics.Login(outcome.String())
	return issued, err
}

func (a *Authority) loginWithAPIKey(
	ctx context.Context, apiKey string, open Access, from Origin,
) (IssuedToken, error) {
	caller, err := a.callerByAPIKey(ctx, apiKey)
	if err == nil {
		err = open.check(caller)
	}
	if err != nil {
		return IssuedToken{}, err
	}
	if caller.sessionOnlyKey {
		return IssuedToken{}, errSessionAPIKeyOpens
	}
	if err := a.keys.EnsureCurrent(ctx); err != nil {
		return IssuedToken{}, fault.FromStore(err, nil)
	}
	caller.Address = from.IP
	opened, err := asCaller(ctx, a, caller, func(c Caller) (openedSession, error) {
		session := a.newSession(c.User.ID, from, a.policy.SessionLife, c.keyExpires, nil)
		opened, err := a.storeOpening(ctx, c.rightsOn(c.User), Opening{
			SessionWithOrigin: SessionWithOrigin{Session: session, Origin: from},
		})
		return opened, fault.FromStore(err, errAPIKey)
	})
	if err != nil {
		return IssuedToken{}, err
	}
	a.recordOpened(ctx, caller, opened)
	return a.issue(opened.SessionWithUser, from.Cookie)
}
