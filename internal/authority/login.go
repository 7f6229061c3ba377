package authority

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/token"
)

// IssuedToken is a signed token, with the other fields of the response.
type IssuedToken struct {
	Token   string
	Expires int64 // the token's exp
	Life    int64 // seconds from now to Expires; negative for the token of a late replay
	Idle    int64 // seconds from now until the token can no longer be refreshed
	UserID  int64
}

// issue signs the current token of a session. cookie is the claim of that name.
func (a *Authority) issue(s SessionWithUser, cookie bool) (IssuedToken, error) {
	session, user := &s.Session, s.User
	claims := token.Claims{
		Subject: user.ID, IssuedAt: session.Refreshed, Expires: session.Expires,
		Session: session.ID, Generation: session.Generation,
		AuthLevel: user.Level.String(), NetworkID: user.NetworkID, MailboxID: user.MailboxID,
		ExternalID: user.ExternalID, Cookie: cookie,
	}
	if session.Extras != nil {
		claims.ActorID, claims.Extra = session.Extras.ActorID, session.Extras.Claims
	}
	if a.tokenIssued != nil {
		a.tokenIssued(claims.IssuedAt)
	}
	text, err := a.codec.Sign(claims)
	now := a.now()
	return IssuedToken{
		Token: text, Expires: session.Expires, Life: session.Expires - now, Idle: session.Idle - now, UserID: user.ID,
	}, err
}

// loginResult is how a sign-in ended.
type loginResult struct {
	issued  IssuedToken
	outcome LoginOutcome
	event   audit.Event // the zero value if the audit does not record the sign-in
}

// Login opens a session. An unknown login and a wrong password return the same error and take the same time.
func (a *Authority) Login(ctx context.Context, login, passwd string, from Origin) (IssuedToken, error) {
	result, err := a.login(ctx, login, passwd, from)
	a.metrics.Login(result.outcome.String())
	if result.event != (audit.Event{}) {
		a.audit.Record(ctx, result.event)
	}
	return result.issued, err
}

func (a *Authority) login(ctx context.Context, login, passwd string, from Origin) (loginResult, error) {
	switch {
	case login == "":
		return loginFailure(fault.Invalid("login is missing; send it as login, email or username."))
	case passwd == "":
		return loginFailure(fault.Invalid("password is missing."))
	}
	attempt, err := a.throttle.Begin(ctx, login, from.IP)
	if err != nil {
		return loginFailure(err)
	}
	defer attempt.Release()
	result, err := a.checkCredentials(ctx, login, passwd, from)
	if unrecorded := attempt.Resolve(ctx, err); unrecorded != nil {
		result.outcome = LoginUnavailable
		return result, unrecorded
	}
	return result, err
}

// loginFailure returns the result of a sign-in that failed before its credentials were accepted or rejected.
func loginFailure(err error) (loginResult, error) {
	outcome := LoginFailed
	switch fault.KindOf(err) {
	case fault.InvalidParameter:
		outcome = LoginInvalid
	case fault.RateLimited:
		outcome = LoginThrottled
	case fault.Unavailable:
		outcome = LoginUnavailable
	}
	return loginResult{outcome: outcome}, err
}

// loginRejection returns the result of a sign-in with rejected credentials. The user is nil for an unknown login. Only
// the audit gets the detail; the response does not.
func loginRejection(user *User, from Origin, detail string) (loginResult, error) {
	event := audit.Event{Kind: audit.LoginFailed, Address: from.IP, Detail: detail}
	if user != nil {
		event = user.event(event)
	}
	return loginResult{outcome: LoginRejected, event: event}, errCredentials
}

// checkCredentials checks a login and a password, and opens a session if they are right.
func (a *Authority) checkCredentials(ctx context.Context, login, passwd string, from Origin) (loginResult, error) {
	user, hash, err := a.store.UserByLogin(ctx, login)
	unknown := errors.Is(err, fault.ErrNotFound)
	if err != nil && !unknown {
		return loginFailure(fault.FromStore(err, nil))
	}
	// The hash of an unknown login is "". Check takes as long for "" as for any other hash.
	right, outdated, err := a.passwords.Check(ctx, passwd, hash)
	switch {
	case err != nil:
		return loginFailure(hasherError(err))
	case unknown:
		return loginRejection(nil, from, "unknown login")
	case hash == "":
		return loginRejection(user, from, "no password")
	case !right:
		return loginRejection(user, from, "wrong password")
	case !user.Status.MaySignIn():
		return loginRejection(user, from, user.Status.String())
	}
	if outdated {
		hash = a.rehash(ctx, user, passwd, hash)
	}
	return a.openSession(ctx, user, hash, from)
}

// openSession opens a session if the user may still sign in and the password's hash is still the checked one.
func (a *Authority) openSession(ctx context.Context, user *User, hash string, from Origin) (loginResult, error) {
	if err := a.keys.EnsureCurrent(ctx); err != nil {
		return loginFailure(fault.FromStore(err, nil))
	}
	session := a.newSession(user.ID, from, a.policy.SessionLife, 0, nil)
	storeCtx, end := a.storeSpan(ctx, "OpenSession")
	ended, err := a.store.OpenSession(storeCtx, Opening{
		SessionWithOrigin: SessionWithOrigin{Session: session, Origin: from},
		PasswordHash:      hash, MaxSessions: a.policy.MaxSessionsPerUser,
	})
	end(err)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return loginRejection(user, from, "suspended, or the password was changed, during the sign-in")
	case err != nil:
		return loginFailure(fault.FromStore(err, nil))
	}
	a.recordEnded(ctx, ended)
	event := user.event(audit.Event{Kind: audit.Login, Session: session.ID, Caller: user.ID, Address: from.IP})
	issued, err := a.issue(SessionWithUser{Session: session, User: user}, from.Cookie)
	if err != nil {
		return loginResult{outcome: LoginFailed, event: event}, err
	}
	return loginResult{issued: issued, outcome: LoginOpened, event: event}, nil
}

// newSession returns the state of a session to be opened. It has a random ID. If notAfter is set, the session ends by
// then, even if its life is longer.
func (a *Authority) newSession(
	userID int64, from Origin, life time.Duration, notAfter int64, extras *SessionExtras,
) Session {
	now := a.now()
	s := Session{
		UserID: userID, Generation: 1, Created: now, Refreshed: now, Ends: now + seconds(life),
		Address: hashAddress(from.IP), Extras: extras,
	}
	if notAfter != 0 {
		s.Ends = min(s.Ends, notAfter)
	}
	s.begin(a.policy.lives())
	rand.Read(s.ID[:]) // never fails (crypto/rand)
	return s
}

// rehash replaces a hash whose cost differs from the configured one, or whose format is that of other software. It
// returns the hash now in the store. If the replacement fails, rehash logs the error and returns the checked hash, so
// that the sign-in can continue.
func (a *Authority) rehash(ctx context.Context, user *User, passwd, checked string) string {
	hash, err := a.passwords.Hash(ctx, passwd)
	if err == nil {
		err = a.store.SetPassword(ctx, Rights{}, user.ID, PasswordChange{Hash: hash, IfHash: checked})
	}
	switch {
	case err == nil:
		return hash
	case errors.Is(err, fault.ErrNotFound):
		return a.hashAfterConflict(ctx, user, passwd, checked)
	}
	a.log.WarnContext(ctx, "password not rehashed", "user", user.ID, "err", err)
	return checked
}

// hashAfterConflict returns the hash stored meanwhile by another call, if the hash matches the password too. Two
// sign-ins at the same time both try to replace the hash. Only one of them does, and both must succeed.
func (a *Authority) hashAfterConflict(ctx context.Context, user *User, passwd, checked string) string {
	_, stored, err := a.store.UserByLogin(ctx, user.Login)
	if err != nil {
		return checked
	}
	if right, _, err := a.passwords.Check(ctx, passwd, stored); err != nil || !right {
		return checked
	}
	return stored
}

// hasherError turns an error of the password hasher into one for the caller.
func hasherError(err error) error {
	switch {
	case errors.Is(err, password.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault.Busy(err)
	}
	return err
}
