package authority

import (
	"context"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/token"
)

// Store keeps the state of an Authority. Its methods are safe for concurrent use.
//
// Atomicity: each method is one atomic step. The step happens as a whole or not at all.
//
// Durability: when a method returns nil, its change survives a crash of the process and of the machine.
//
// Order: the steps are linearizable over all nodes sharing the store. A call that begins after a method returned sees
// the changes of the method. RecentSession is the one exception.
//
// Errors: fault.ErrNotFound and fault.ErrDuplicate are documented at each method. fault.ErrUnavailable means that the
// store is unreachable or cannot write, and that nothing was changed. The exception is a commit with a lost
// acknowledgement: its change may have happened. Every other error is a bug of the store.
//
// Rights: a write for a caller takes Rights, and checks them in its own transaction with Rights.Check, before anything
// else. If the check fails, nothing is changed and the error of the check is returned.
//
// Sessions and users: a session is opened only for a user with a status that allows a sign-in. A change to any other
// status ends all sessions of the user in the same step. An existing session therefore always belongs to a user who may
// use it.
type Store interface {
	SessionStore
	UserStore
	APIKeyStore
	SigningKeyStore
	ReceiverStore
	throttle.Store
	audit.Store
	// Ready returns nil if the store can read and write, and fault.ErrUnavailable otherwise.
	Ready(ctx context.Context) error
	// Ahead returns how far the clock of this machine is ahead of the store's; 0 if it is not.
	Ahead(ctx context.Context) (time.Duration, error)
	// Close finishes the calls in progress, and releases the store.
	Close() error
}

// SessionStore keeps one row for each session.
type SessionStore interface {
	// OpenSession adds a session. It returns ErrNotFound if the user may not sign in, or if o.PasswordHash is no longer
	// the hash of the password. It ends and returns the sessions of Opening.Excess in the same step, so that concurrent
	// calls never leave a user with more than o.MaxSessions sessions. It reads at most o.MaxSessions + MaxEndedAtOnce
	// sessions of the user; each call ends some of a larger excess.
	OpenSession(ctx context.Context, o Opening) ([]EndedSession, error)
	// OpenSessionFor is OpenSession for a caller who has authenticated the user by other means than a password. If
	// o.NewUser is set, OpenSessionFor creates the user in the same step, and returns the errors of CreateUser. If
	// o.Assertion is set, it is marked as used in the same step; ErrAssertionUsed means that it was used before.
	// OpenSessionFor returns the session's user.
	OpenSessionFor(ctx context.Context, r Rights, o Opening) (*User, []EndedSession, error)
	// Session returns a session and its user, or ErrNotFound.
	Session(ctx context.Context, id token.SessionID) (SessionWithUser, error)
	// RecentSession returns a session and its user, or ErrNotFound. Its result may be stale, by as much as the store's
	// settings permit. A stale result is sufficient to accept a session; before rejecting one, call Session.
	RecentSession(ctx context.Context, id token.SessionID) (SessionWithUser, error)
	// Rotate is a compare-and-swap. If the session is at generation r.From and r.At is before the session's Idle,
	// Rotate moves the session to the next generation and returns the new state, with rotated true. Otherwise Rotate
	// changes nothing and returns the current state. If there is no such session, Rotate returns ErrNotFound. If any
	// number of calls with the same From run at once, exactly one rotates.
	//
	// If r.APIKey is set, Rotate checks the API key in the same step, before anything else. If the store does not have
	// the API key, or the check does not permit it, Rotate changes nothing and returns ErrActorEnded.
	Rotate(ctx context.Context, r Rotation) (s SessionWithUser, rotated bool, err error)
	// RecordReplay calls RecordReplay of a session that is at this generation. A missing session, or one that is at
	// another generation, is not an error.
	RecordReplay(ctx context.Context, id token.SessionID, generation uint32, at int64) error
	// EndSession ends a session and its API keys of visibility SessionOnly. A missing session is not an error.
	EndSession(ctx context.Context, r Rights, id token.SessionID) error
	// EndSessions ends all sessions of a user, and their API keys of visibility SessionOnly. It returns how many it
	// ended if opts.CountAt is set, else 0.
	EndSessions(ctx context.Context, r Rights, userID int64, opts EndOptions) (ended int64, err error)
	// Sessions returns a page of sessions whose Idle is after f.Now, in an order that does not change while sessions
	// are refreshed: those of one user follow each other, oldest first unless the user has more than HighestSessionCap
	// sessions. The work for a page depends on the page's end, not on the number of sessions after it, or on the number
	// of ended ones.
	Sessions(ctx context.Context, f SessionFilter) ([]SessionWithOrigin, error)
	// Sweep removes at most limit sessions whose Idle is at now or before, and returns them. It visits a bounded number
	// of rows, and the next call continues after them. done reports whether it has visited every row.
	Sweep(ctx context.Context, now int64, limit int) (ended []EndedSession, done bool, err error)
	// Purge removes the rows of at most limit sessions ended by EndSessions, SetPassword or UpdateUser, and their API
	// keys. It returns how many it removed, and whether no more remain for this node.
	Purge(ctx context.Context, limit int) (removed int, done bool, err error)
	// Ended returns a channel with room for one value. The store sends to it when there are rows to purge: after this
	// node has ended the sessions of a user, and after a start. The channel is never closed.
	Ended() <-chan struct{}
}

// SessionFilter selects sessions.
type SessionFilter struct {
	Session token.SessionID // only this session, of any user, and no other field but Now is used; zero selects all
	UserID  int64           // the sessions of this user; 0 selects those of every user matched by the next fields
	// NetworkID, MailboxID and HighestLevel select users. A zero field matches all. A MailboxID needs a NetworkID.
	NetworkID, MailboxID *int64
	HighestLevel         Level
	Now                  int64
	// From is the first user of the page, for a filter without UserID. Offset then counts from the first session of
	// this user, so that no page reads the sessions of the users before. The zero value begins with the first user.
	From   UserPosition
	Offset int64
	Limit  int64 // 0 selects none
}

// UserPosition is the place of a user in the order of Sessions: by mailbox and id if the filter has a network, else by
// id.
type UserPosition struct{ MailboxID, UserID int64 }

// Rotation describes a rotation of a session.
type Rotation struct {
	Session        token.SessionID
	From           uint32             // the required generation of the session
	At             int64              // the new Refreshed
	Lives          Lives              // of the policy; the session's own lives have priority
	IdempotencyKey IdempotencyKeyHash // the new IdempotencyKey
	Shared         bool               // the tabs of a browser share the token as a cookie; only MayReplay uses it
	Address        AddressHash        // the new Address
	APIKey         *APIKeyCheck       // of the API key in the request; nil if there is none
}

// APIKeyCheck is what a rotation requires of an API key.
type APIKeyCheck struct {
	Hash   APIKeyHash
	Open   Access // the scopes that the call is open to
	UserID int64  // the required user; 0 permits any
}

// Permits reports whether an API key with its user satisfies the check. The session is that of a SessionOnly key; nil
// if the session has ended.
func (c APIKeyCheck) Permits(key *APIKey, user *User, s *Session, at int64) bool {
	return user.Status.MaySignIn() && !key.expired(at) && c.Open.OpenTo(key.Scope) &&
		(c.UserID == 0 || c.UserID == user.ID) &&
		(key.Visibility != SessionOnly || s != nil && at < s.Idle)
}

// Rotates reports whether Rotate moves a session in this state to its next generation.
func (r Rotation) Rotates(s *Session) bool { return s.Generation == r.From && r.At < s.Idle }

// Apply returns the session as it is after the rotation.
func (r Rotation) Apply(s Session) Session {
	s.Generation++
	s.Previous = s.raceBegan()
	s.Refreshed = r.At
	s.IdempotencyKey = r.IdempotencyKey
	s.Address = r.Address
	s.begin(r.Lives)
	return s
}

// UserStore keeps users and the hashes of their passwords.
type UserStore interface {
	// CreateUser adds a user and returns it. If u.ID is 0, the store assigns one. It returns ErrDuplicate if another
	// user has the same login, and ErrExternalIDTaken if another user has the same external id. Two logins are the same
	// if their prepared forms are (prepare.Login); external ids are compared byte by byte.
	CreateUser(ctx context.Context, r Rights, u User, passwordHash string) (*User, error)
	// CreateFirstRoot is CreateUser for the first user of level Root. It returns ErrHasAdministrator if there is one
	// already, whatever its status. At most one of several concurrent calls succeeds.
	CreateFirstRoot(ctx context.Context, u User, passwordHash string) (*User, error)
	// User returns a user, or ErrNotFound.
	User(ctx context.Context, id int64) (*User, error)
	// UserByLogin returns the user with a login, compared by its prepared form (prepare.Login), and the hash of the
	// password. It returns ErrNotFound if there is none.
	UserByLogin(ctx context.Context, login string) (u *User, passwordHash string, err error)
	// UserByExternalID returns the user with an external id, or ErrNotFound. No user has the external id "".
	UserByExternalID(ctx context.Context, externalID string) (*User, error)
	// SessionActor returns the user who acts in a session with an actor, and the session's user, both as they are at
	// one moment. The actor is nil if all sessions of the actor have ended since the session was opened: that ends
	// the session too.
	SessionActor(ctx context.Context, s Session) (actor, user *User, err error)
	// ListUsers returns a page of users, ordered by id.
	ListUsers(ctx context.Context, f UserFilter) ([]User, error)
	// UpdateUser changes the non-nil fields of c, and returns the changed user. A status that does not allow a sign-in
	// ends the user's sessions. Terminated also removes the API keys. It returns ErrNotFound if there is no such user,
	// or the user is Terminated, ErrLastRoot if the change would leave no active Root, and ErrExternalIDTaken if
	// another user has the external id.
	UpdateUser(ctx context.Context, r Rights, id int64, c UserChange) (*User, error)
	// SetPassword replaces the hash of a user's password. It returns ErrNotFound if there is no such user, the user is
	// Terminated, or the present hash is not c.IfHash.
	SetPassword(ctx context.Context, r Rights, id int64, c PasswordChange) error
}

// PasswordChange describes a change of a password.
type PasswordChange struct {
	Hash        string // the new hash
	IfHash      string // the present hash; "" means any
	EndSessions bool   // end the user's sessions in the same step, as EndSessions does
	EndOptions
}

// EndOptions are the options of EndSessions.
type EndOptions struct {
	Except        token.SessionID       // the session to keep; may be zero
	ClearAttempts *throttle.AccountHash // remove the failure counters of this account in the same step; may be nil
	// CountAt counts the ended sessions whose Idle is after it. 0 counts none: the end of many sessions takes no time,
	// but counting them does. SetPassword ignores it.
	CountAt int64
}

// UserFilter selects users. A zero field matches all.
type UserFilter struct {
	NetworkID *int64
	MailboxID *int64
	Level     Level
	Status    Status
	Search    Search
	After     int64 // selects the users with a higher ID
	Offset    int64
	Limit     int64 // 0 selects none
}

// Search selects users by a prefix of the login, the email, the external id, the last name, or the first name with the
// last name after it. The zero value matches all.
type Search struct {
	Login      string // compared with the prepared form of a login; "" matches no login
	Text       string // compared with the email and the names in lower case, where only ASCII letters have a lower case
	ExternalID string // compared byte by byte; "" matches no external id
}

// DenseSearch is how many users must match one column of a search, so that a store reads the users in the order of
// their ids and skips those that do not match. Fewer are found by the indexes of the columns, and sorted.
const DenseSearch = 2000

// UserChange describes a change of a user. A nil field is not changed.
type UserChange struct {
	Email, FirstName, LastName *string
	ExternalID                 *string // "" removes it
	NetworkID, MailboxID       *int64
	Level                      *Level
	Status                     *Status
}

// APIKeyHash is the SHA-256 of an API key. The store has the hash instead of the key.
type APIKeyHash [32]byte

// Credentials are what a store has for a bearer token and an API key, each with the error of its own.
type Credentials struct {
	Session    SessionWithUser
	SessionErr error
	APIKey     APIKey
	Owner      *User // of the API key
	APIKeyErr  error
}

// APIKeyStore keeps API keys.
type APIKeyStore interface {
	// CreateAPIKey adds an API key and returns it with its ID. A Primary one replaces the user's earlier primary key
	// in the same step. It returns ErrNotFound if there is no such user, the user is Terminated, or the key is
	// SessionOnly and its session has ended.
	CreateAPIKey(ctx context.Context, r Rights, k APIKey, hash APIKeyHash) (APIKey, error)
	// APIKeyByHash returns an API key and its user, or ErrNotFound.
	APIKeyByHash(ctx context.Context, hash APIKeyHash) (APIKey, *User, error)
	// Credentials returns the results of RecentSession and APIKeyByHash, in one trip where each costs a trip. Only
	// APIKeyErr is set if the API key cannot be read.
	Credentials(ctx context.Context, id token.SessionID, hash APIKeyHash) Credentials
	// APIKey returns an API key, or ErrNotFound.
	APIKey(ctx context.Context, id int64) (APIKey, error)
	// APIKeys returns the API keys of a user, ordered by id.
	APIKeys(ctx context.Context, userID int64) ([]APIKey, error)
	// DeleteAPIKey removes an API key. It returns ErrNotFound if there is none.
	DeleteAPIKey(ctx context.Context, r Rights, id int64) error
	// SweepAPIKeys removes API keys that expire at now or before, at most limit, and returns how many it removed.
	SweepAPIKeys(ctx context.Context, now int64, limit int) (removed int, err error)
}
