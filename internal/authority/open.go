package authority

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/token"
)

// OpenRequest describes a session for a user authenticated by the caller. Exactly one of UserID, Login and ExternalID
// is set. A zero value of any other field is none.
type OpenRequest struct {
	UserID            int64
	Login, ExternalID string
	// NewUser is the user to create if there is no user with that Login or ExternalID.
	NewUser *NewUser
	// From is the origin of the user's own request, instead of the caller's.
	From Origin
	// Claims is one JSON object, see token.CanonicalExtra.
	Claims []byte
	// TokenLife, IdleLife and SessionLife are at most those of the policy, in seconds.
	TokenLife, IdleLife, SessionLife *int64
	// ActorID is the user who acts for the session's user.
	ActorID *int64
	// NetworkID and MailboxID are where the user must be; nil is anywhere.
	NetworkID, MailboxID *int64
	// Assertion is the assertion that names the user; nil if the caller has authenticated the user by itself.
	Assertion *UsedAssertion
}

// maxDevice is how many characters the name of a device may have.
const maxDevice = 64

// OpenSession opens a session without a password, because the caller has authenticated the user by other means. If the
// user does not exist and r has a NewUser, the user is created in the same step. The caller must administer the user's
// tenant; the user must not be above the caller, nor above the MaxLevel of the caller's API key. The session ends when
// the caller's API key expires, if not before, and continues if the key is removed, as in LoginWithAPIKey.
func (a *Authority) OpenSession(ctx context.Context, c Caller, r OpenRequest) (IssuedToken, error) {
	switch {
	case !c.User.IsAdmin():
		return IssuedToken{}, errLevel
	case c.sessionOnlyKey:
		return IssuedToken{}, errSessionAPIKeyOpens
	}
	extras, life, err := a.checkOpening(&r)
	if err != nil {
		return IssuedToken{}, err
	}
	if err := a.keys.EnsureCurrent(ctx); err != nil {
		return IssuedToken{}, fault.FromStore(err, nil)
	}
	opened, err := asCaller(ctx, a, c, func(c Caller) (openedSession, error) {
		return a.openFor(ctx, c, r, a.newSession(0, r.From, life, c.keyExpires, extras))
	})
	if err != nil {
		return IssuedToken{}, err
	}
	a.recordOpened(ctx, c, opened)
	return a.issue(opened.SessionWithUser, r.From.Cookie)
}

// checkOpening checks the fields of a request that do not depend on the store, and completes its NewUser. It returns
// the extras and the SessionLife of the session.
func (a *Authority) checkOpening(r *OpenRequest) (extras *SessionExtras, life time.Duration, err error) {
	if err := r.checkUser(); err != nil {
		return nil, 0, err
	}
	if !printable(r.From.Device, maxDevice) {
		return nil, 0, fault.Invalid("device must have at most 64 printable characters.")
	}
	extras = &SessionExtras{}
	p := a.policy
	if extras.TokenLife, err = shorterLife("tokenLife", r.TokenLife, p.TokenLife); err != nil {
		return nil, 0, err
	}
	if extras.IdleLife, err = shorterLife("idleLife", r.IdleLife, cmp.Or(p.IdleLife, p.TokenLife)); err != nil {
		return nil, 0, err
	}
	if life, err = shorterLife("sessionLife", r.SessionLife, p.SessionLife); err != nil {
		return nil, 0, err
	}
	if len(r.Claims) > 0 {
		if extras.Claims, err = token.CanonicalExtra(r.Claims); err != nil {
			return nil, 0, fault.Invalid(err.Error() + ".")
		}
	}
	if r.ActorID != nil {
		if extras.ActorID = *r.ActorID; extras.ActorID <= 0 {
			return nil, 0, fault.Invalid("actorId must be a positive integer.")
		}
	}
	if *extras == (SessionExtras{}) {
		extras = nil
	}
	return extras, cmp.Or(life, p.SessionLife), nil
}

// shorterLife returns a life of a request, or 0 if the request has none. limit is that of the policy.
func shorterLife(field string, life *int64, limit time.Duration) (time.Duration, error) {
	switch {
	case life == nil:
		return 0, nil
	case *life <= 0 || *life > seconds(limit):
		return 0, fault.Invalid(fmt.Sprintf("%s must be from 1 to %d seconds.", field, seconds(limit)))
	}
	return time.Duration(*life) * time.Second, nil
}

// checkUser checks that the request names one user, and that a NewUser is valid and is that user.
func (r *OpenRequest) checkUser() error {
	named := 0
	for _, set := range []bool{r.UserID != 0, r.Login != "", r.ExternalID != ""} {
		if set {
			named++
		}
	}
	switch {
	case named != 1:
		return fault.Invalid("userId, login or externalId: send exactly one of them.")
	case r.UserID < 0:
		return errUserIDMissing
	case r.NewUser == nil:
		return nil
	case r.UserID != 0:
		return fault.Invalid("user cannot be created with a userId; send a login or an externalId instead.")
	}
	n := *r.NewUser
	r.NewUser = &n
	n.Login = cmp.Or(n.Login, r.Login)
	n.ExternalID = cmp.Or(n.ExternalID, r.ExternalID)
	switch {
	case r.Login != "" && prepare.LoginKey(n.Login) != prepare.LoginKey(r.Login):
		return fault.Invalid("user.login differs from login; leave one of them out.")
	case r.ExternalID != "" && n.ExternalID != r.ExternalID:
		return fault.Invalid("user.externalId differs from externalId; leave one of them out.")
	}
	if _, err := n.user(Tenant{}, 0); err != nil {
		return fault.Invalid("user." + err.Error())
	}
	return nil
}

// openedSession is a session opened by storeOpening.
type openedSession struct {
	SessionWithUser
	created bool // the user was created too
	ended   []EndedSession
	from    Origin
}

// maxOpenTries is how often openFor tries to open a session whose user is created by another call meanwhile.
const maxOpenTries = 3

// openFor opens a session for the user of a request.
func (a *Authority) openFor(ctx context.Context, c Caller, r OpenRequest, s Session) (openedSession, error) {
	for try := 1; ; try++ {
		user, err := a.userToOpen(ctx, c, r)
		if err != nil {
			return openedSession{}, err
		}
		opened, err := a.openOnce(ctx, c, r, s, user)
		if !errors.Is(err, fault.ErrDuplicate) || try == maxOpenTries {
			return opened, fault.FromStore(err, errUserSuspended)
		}
		if r.Assertion != nil && r.NewUser != nil {
			// Another user may have the login, even on purpose. The external id names the user, so any login will do.
			n := *r.NewUser
			n.Login = r.ExternalID + "-" + strings.ToLower(rand.Text()[:8])
			r.NewUser = &n
		}
	}
}

// userToOpen returns the user of a request, or nil if the user is to be created. A user of another tenant is treated
// like one that does not exist.
func (a *Authority) userToOpen(ctx context.Context, c Caller, r OpenRequest) (*User, error) {
	var user *User
	var err error
	if r.UserID != 0 {
		user, err = a.store.User(ctx, r.UserID)
	} else {
		user, err = a.userByName(ctx, r.Login, r.ExternalID)
	}
	switch {
	case err != nil && !errors.Is(err, fault.ErrNotFound):
		return nil, fault.FromStore(err, nil)
	case err == nil && c.User.administers(user.Tenant):
		if user.Tenant != user.Tenant.override(r.NetworkID, r.MailboxID) {
			return nil, errIssuerTenant
		}
		return user, nil
	case r.NewUser == nil:
		return nil, errNoUserToOpen
	}
	return nil, nil
}

// openOnce opens a session for a user, or for r.NewUser if the user is nil.
func (a *Authority) openOnce(
	ctx context.Context, c Caller, r OpenRequest, s Session, user *User,
) (opened openedSession, err error) {
	o := Opening{SessionWithOrigin: SessionWithOrigin{Session: s, Origin: r.From}, Assertion: r.Assertion}
	rights := c.rightsOn(user)
	if user == nil {
		if o.NewUser, err = a.userToCreate(ctx, c, r); err != nil {
			return opened, err
		}
		user = &o.NewUser.User
	}
	o.UserID = user.ID
	if err := c.mayOpenFor(user); err != nil {
		return opened, err
	}
	if id := s.ActorID(); id != 0 {
		actor, err := a.sessionActor(ctx, c, id, user)
		if err != nil {
			return opened, err
		}
		rights.SessionActor = targetOf(actor)
	}
	return a.storeOpening(ctx, rights, o)
}

// storeOpening is Store.OpenSessionFor within a span, with the MaxSessions of the policy.
func (a *Authority) storeOpening(ctx context.Context, r Rights, o Opening) (openedSession, error) {
	o.MaxSessions = a.policy.MaxSessionsPerUser
	opened := openedSession{created: o.NewUser != nil, from: o.Origin}
	ctx, end := a.storeSpan(ctx, "OpenSessionFor")
	var err error
	opened.User, opened.ended, err = a.store.OpenSessionFor(ctx, r, o)
	end(err)
	if err != nil {
		return openedSession{}, err
	}
	opened.Session = o.Session
	opened.Session.UserID = opened.User.ID
	return opened, nil
}

// userToCreate returns the user for a request whose user does not exist.
func (a *Authority) userToCreate(ctx context.Context, c Caller, r OpenRequest) (*UserWithHash, error) {
	n := *r.NewUser
	n.Level = cmp.Or(n.Level, max(MailboxUser, c.maxLevel))
	u, err := n.user(c.User.Tenant, a.now())
	if err != nil {
		return nil, err
	}
	if err := c.mayAssign(u.Level, u.Tenant); err != nil {
		return nil, err
	}
	if r.Assertion == nil {
		if err := a.mayRename(c, "", u.ExternalID); err != nil {
			return nil, err
		}
	}
	hash, err := a.hashIfAny(ctx, "user.password", n.Password)
	return &UserWithHash{User: u, PasswordHash: hash}, err
}

// mayOpenFor returns nil if the caller may open a session for a user of a tenant that the caller administers.
func (c Caller) mayOpenFor(user *User) error {
	switch {
	case user.Level < c.User.Level:
		return errUserAbove
	case user.Level < c.maxLevel:
		return errAboveMaxLevel
	case !user.Status.MaySignIn():
		return errUserSuspended
	}
	return nil
}

// sessionActor returns the user who is to act for another one. All reasons against it have one error, so that no caller
// can probe for users. The actor must not be above the caller or the MaxLevel of the API key, because the audit then
// names the actor in every event of the session. Such an actor is always in a tenant that the caller administers, as
// the user is. A caller may be the actor, whatever the MaxLevel, because the API key acts for its user anyway.
func (a *Authority) sessionActor(ctx context.Context, c Caller, id int64, user *User) (*User, error) {
	actor, err := a.store.User(ctx, id)
	if err != nil {
		return nil, fault.FromStore(err, errSessionActor)
	}
	isAbove := id != c.User.ID && actor.Level < max(c.User.Level, c.maxLevel)
	if isAbove || !actor.mayActFor(user) {
		return nil, errSessionActor
	}
	return actor, nil
}

// recordOpened records the events of a session opened by a caller.
func (a *Authority) recordOpened(ctx context.Context, c Caller, o openedSession) {
	user := o.User
	if o.created {
		a.audit.Record(ctx, c.event(user.event(audit.Event{Kind: audit.UserCreated, Detail: user.Level.String()})))
	}
	a.recordEnded(ctx, o.ended)
	event := c.event(user.event(audit.Event{
		Kind: audit.Login, Session: o.Session.ID, Actor: o.Session.ActorID(),
	}))
	event.Address = o.from.IP
	event.Detail = "opened by the caller"
	if c.APIKeyID != 0 {
		event.Detail = fmt.Sprintf("opened with key %d", c.APIKeyID)
	}
	a.audit.Record(ctx, event)
}
