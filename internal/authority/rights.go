package authority

import (
	"context"
	"errors"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
)

// Rights are the rights that a write depends on: the caller, and the user changed by the write, both as they were when
// the authority checked the permission. A Store compares both with its rows in the transaction of the write. A caller
// signed out, suspended, demoted or moved to another tenant before the commit therefore cannot write. The zero Rights
// check nothing; Pawl itself and the operator at the machine use them.
type Rights struct {
	Actor  Actor
	Target Target
	// SessionActor is the user who acts in the caller's session, or is to act in a new one (SessionExtras.ActorID). The
	// ID is 0 if there is none.
	SessionActor Target
}

// Actor is the caller of a write. It has a bearer token, an API key, or both.
type Actor struct {
	UserID int64 // 0: nothing is checked
	Level  Level
	Tenant Tenant

	Session    token.SessionID // the session of the bearer token; zero without one
	Generation uint32          // the generation of the bearer token
	Grace      time.Duration   // Policy.BearerGrace
	At         int64           // when the write began: the time at which the token and the API key must be valid

	APIKey   int64 // the id of the API key; 0 without one
	Scope    Scope // of the API key
	MaxLevel Level // of the API key
}

// Target is a user on whose rights a write depends: usually the user changed by it. The ID is 0 if there is none.
type Target struct {
	ID     int64
	Level  Level
	Tenant Tenant
	Status Status
}

// Present has the current rows of the users, the session and the API key in a Rights. A Store reads and locks the rows
// in the transaction of the write, so that none of them changes before the write is durable.
type Present struct {
	Actor   *User    // nil: there is no such user
	Session *Session // nil: the session has ended
	APIKey  *APIKey  // nil: there is no such key, or it is a SessionOnly one and its session has ended
	Target  *User    // nil: there is no such user

	SessionActor *User // nil: there is no such user
}

// Check returns nil if the caller still has the rights. It returns fault.ErrActorEnded if the caller is no longer
// signed in, and fault.ErrNotFound if the target does not exist. It returns fault.ErrRightsChanged if the caller's
// level or tenant has changed, or the level, tenant or status of the target or the session actor.
func (r Rights) Check(p Present) error {
	a := r.Actor
	if a.UserID == 0 {
		return nil
	}
	policy := Policy{BearerGrace: a.Grace}
	switch {
	case p.Actor == nil || !p.Actor.Status.MaySignIn():
		return fault.ErrActorEnded
	case a.Session != (token.SessionID{}) &&
		(p.Session == nil || !acceptsBearer(*p.Session, a.Generation, a.At, policy)):
		return fault.ErrActorEnded
	case a.APIKey != 0 && !a.mayUse(p.APIKey):
		return fault.ErrActorEnded
	case p.Actor.Level != a.Level || p.Actor.Tenant != a.Tenant:
		return fault.ErrRightsChanged
	case r.Target.ID != 0 && p.Target == nil:
		return fault.ErrNotFound
	case r.Target.ID != 0 && targetOf(p.Target) != r.Target:
		return fault.ErrRightsChanged
	case r.SessionActor.ID != 0 && (p.SessionActor == nil || targetOf(p.SessionActor) != r.SessionActor):
		return fault.ErrRightsChanged
	}
	return nil
}

// mayUse reports whether an API key gives the caller the rights of the Actor.
func (a Actor) mayUse(key *APIKey) bool {
	return key != nil && !key.expired(a.At) && key.Scope == a.Scope && key.MaxLevel == a.MaxLevel
}

func targetOf(u *User) Target {
	return Target{ID: u.ID, Level: u.Level, Tenant: u.Tenant, Status: u.Status}
}

// rightsOn returns the caller's rights for a write that changes target. The target may be nil.
func (c Caller) rightsOn(target *User) Rights {
	r := Rights{Actor: Actor{
		UserID: c.User.ID, Level: c.User.Level, Tenant: c.User.Tenant,
		Generation: c.Generation, Grace: c.grace, At: c.checkedAt,
		APIKey: c.APIKeyID, Scope: c.scope, MaxLevel: c.maxLevel,
	}}
	if c.Session != nil {
		r.Actor.Session = c.Session.ID
	}
	if c.actor != nil {
		r.SessionActor = targetOf(c.actor)
	}
	if target != nil {
		r.Target = targetOf(target)
	}
	return r
}

// maxRightsChecks is how often asCaller tries a write. Each attempt fails if a right changes between check and write.
// The number is high, so that a user changed in a loop by an accomplice can still be suspended.
const maxRightsChecks = 100

// asCaller runs write. The write checks what the caller may do, and passes the Rights to the store. If the store
// returns fault.ErrRightsChanged, asCaller reads the caller again and repeats write.
func asCaller[T any](ctx context.Context, a *Authority, c Caller, write func(Caller) (T, error)) (T, error) {
	var none T
	for range maxRightsChecks {
		c.checkedAt = a.now() // because a request may wait long for a password hash
		result, err := write(c)
		switch {
		case errors.Is(err, fault.ErrActorEnded):
			return none, c.errEnded()
		case !errors.Is(err, fault.ErrRightsChanged):
			return result, err
		}
		user, err := a.store.User(ctx, c.User.ID)
		if err != nil {
			return none, fault.FromStore(err, c.errEnded())
		}
		c.User = user
		if c.actor != nil {
			if c.actor, err = a.liveActor(ctx, *c.Session); err != nil {
				return none, err
			}
		}
	}
	return none, fault.Changing()
}

// errEnded is the error for a caller no longer signed in.
func (c Caller) errEnded() *fault.Error {
	if c.Session == nil {
		return errAPIKey
	}
	return errSession
}

// SigningKeyStore keeps the signing keys. See keyring.Store for what each method does.
type SigningKeyStore interface {
	SigningKeys(ctx context.Context) ([]keyring.SigningKey, error)
	AddSigningKey(ctx context.Context, r Rights, k keyring.SigningKey, first bool) error
	SealSigningKeys(ctx context.Context, keys []keyring.Sealing) error
	RetireSigningKey(ctx context.Context, r Rights, id string, at int64) error
}

// SigningKeysAs returns a keyring.Store whose writes need these rights.
func SigningKeysAs(r Rights, store SigningKeyStore) keyring.Store {
	return signingKeysAs{SigningKeyStore: store, rights: r}
}

type signingKeysAs struct {
	SigningKeyStore
	rights Rights
}

func (s signingKeysAs) AddSigningKey(ctx context.Context, k keyring.SigningKey, first bool) error {
	return s.SigningKeyStore.AddSigningKey(ctx, s.rights, k, first)
}

func (s signingKeysAs) RetireSigningKey(ctx context.Context, id string, at int64) error {
	return s.SigningKeyStore.RetireSigningKey(ctx, s.rights, id, at)
}
