package authority

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/token"
)

// Store keeps the state of an Authority.
//
// Each method is one atomic step, and what it changed is durable when it
// returns nil: it outlives the death of the process and of the machine. Steps
// are linearizable, over all the nodes that share the store: who calls after a
// method returned sees what it did.
//
// A user whose status turns to one that may not sign in loses all sessions in
// that same step, and a session is opened only for a user who may sign in. So
// where there is a session, its user may use it.
type Store interface {
	SessionStore
	UserStore
	APIKeyStore
	keyring.Store
	throttle.Store
	audit.Store
	// Ready returns nil if the store can serve, else ErrUnavailable.
	Ready(ctx context.Context) error
	// Close ends the store; steps under way are finished first.
	Close() error
}

// SessionStore keeps one row for each live session.
type SessionStore interface {
	// OpenSession adds a session of a user who may sign in and whose password
	// hash still is the one that the login was checked against, else ErrNotFound.
	OpenSession(ctx context.Context, s SessionWithOrigin, passwordHash string) error
	// Session returns a session and its user, or ErrNotFound.
	Session(ctx context.Context, id token.SessionID) (SessionWithUser, error)
	// RecentSession is Session, but may tell how the session was a while ago,
	// for as long as the store's settings allow. So it is good for a yes; a no
	// needs Session.
	RecentSession(ctx context.Context, id token.SessionID) (SessionWithUser, error)
	// Rotate is the compare-and-swap: if the session is at r.From, it is moved
	// to the generation after it, and returned as it is then, with moved true.
	// If it is at another generation nothing changes, and it is returned as it
	// is. If there is no such session the error is ErrNotFound.
	// However many calls with the same From come at once, one moves.
	Rotate(ctx context.Context, r Rotation) (live SessionWithUser, moved bool, err error)
	// EndSession ends a session and its SessionKeys. It is no error if there is none.
	EndSession(ctx context.Context, id token.SessionID) error
	// EndSessions ends all sessions of a user and their SessionKeys, but for
	// the one that except names (zero: for none).
	EndSessions(ctx context.Context, userID int64, except token.SessionID) error
	// Sessions lists the sessions of a user whose token is not over at now,
	// oldest first.
	Sessions(ctx context.Context, userID, now int64) ([]SessionWithOrigin, error)
	// Sweep removes sessions whose token is over at now. It looks at no more
	// than limit rows, goes on at the next call where the last one stopped, and
	// returns how many it removed, and whether it has come round.
	Sweep(ctx context.Context, now int64, limit int) (removed int, done bool, err error)
}

// Rotation is what Rotate needs to know.
type Rotation struct {
	Session        token.SessionID
	From           uint32
	At             int64 // becomes Refreshed
	Expires        int64 // becomes Expires, but never after the session's Ends
	IdempotencyKey IdempotencyKeyHash
}

// UserStore keeps users and their password hashes.
type UserStore interface {
	// CreateUser adds a user and returns it. An ID of 0 asks the store for
	// one. A login is unique without regard to case, else ErrDuplicate.
	CreateUser(ctx context.Context, u User, passwordHash string) (*User, error)
	// User returns a user, or ErrNotFound.
	User(ctx context.Context, id int64) (*User, error)
	// UserByLogin finds a user without regard to case, or ErrNotFound.
	UserByLogin(ctx context.Context, login string) (u *User, passwordHash string, err error)
	// ListUsers returns a page of users by id.
	ListUsers(ctx context.Context, f UserFilter) ([]User, error)
	// UpdateUser changes what is not nil in c, and returns the user as it is
	// then. See Store for what a status does to sessions; Terminated removes
	// the keys too, and a user who is Terminated is ErrNotFound here.
	UpdateUser(ctx context.Context, id int64, c UserChange) (*User, error)
	// SetPassword replaces the password hash of a user who is not Terminated.
	// It is ErrNotFound if there is no such user, or the hash is not c.If.
	SetPassword(ctx context.Context, id int64, c PasswordChange) error
}

// PasswordChange is a new password hash.
type PasswordChange struct {
	Hash        string
	IfHash      string          // only if the hash is this one now; "" is any
	EndSessions bool            // end the user's sessions in the same step
	Except      token.SessionID // but for this one
}

// UserFilter picks users; zero fields match all.
type UserFilter struct {
	NetworkID *int64
	MailboxID *int64
	Level     Level
	Status    Status
	Offset    int64
	Limit     int64 // 0 means none are returned
}

// UserChange is a change to a user; nil fields stay.
type UserChange struct {
	Email, FirstName, LastName *string
	NetworkID, MailboxID       *int64
	Level                      *Level
	Status                     *Status
}

// APIKeyHash is the SHA-256 of an API key: what the store keeps of it.
type APIKeyHash [32]byte

// APIKeyStore keeps API keys.
type APIKeyStore interface {
	// CreateAPIKey adds a key and returns it with its ID. If it is Primary, the
	// user's earlier primary key is removed in the same step. The user, and the
	// session of a SessionKey, must be there, else ErrNotFound.
	CreateAPIKey(ctx context.Context, k APIKey, hash APIKeyHash) (APIKey, error)
	// APIKeyByHash returns the key and its user, or ErrNotFound.
	APIKeyByHash(ctx context.Context, hash APIKeyHash) (APIKey, *User, error)
	// APIKey returns a key, or ErrNotFound.
	APIKey(ctx context.Context, id int64) (APIKey, error)
	// APIKeys lists the keys of a user by id.
	APIKeys(ctx context.Context, userID int64) ([]APIKey, error)
	// DeleteAPIKey removes a key, or returns ErrNotFound.
	DeleteAPIKey(ctx context.Context, id int64) error
}
