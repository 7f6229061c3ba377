package storecopy

import (
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority"

	"github.com/pawlauth/pawl/internal/token"
)

// ErrNotEmpty says that a store has state of its own, and is no target of a copy.
var ErrNotEmpty = errors.New("the store is not empty")

// ErrIncomplete says that a store is the target of a copy that was not finished.
var ErrIncomplete = errors.New("this store is the target of a copy that was not finished, and has only a part of the state: run that copy again")

// Copier is how all of a store's state is read and written, for moving it to
// a store of another kind. Nobody else may use either store meanwhile.
//
// A copy is begun, written and ended. Between begin and end the target is
// marked; a server does not start on it. One that was cut off is begun again,
// from nothing: so no session that ended in the source meanwhile comes alive.
type Copier interface {
	// BeginCopy marks the store, and empties it if it was marked before. The
	// error is ErrInUse for a store that has users and no mark.
	BeginCopy(ctx context.Context) error
	// EndCopy takes the mark away.
	EndCopy(ctx context.Context) error
	// CopyInProgress reports whether the mark is there: the store has only a part.
	CopyInProgress(ctx context.Context) (bool, error)
	// Count counts what there is.
	Count(ctx context.Context) (Counts, error)
	// ReadUsers, ReadSessions and ReadAPIKeys return the next rows by id after
	// the one named (zero: from the first), limit at most.
	ReadUsers(ctx context.Context, after int64, limit int) ([]authority.UserWithHash, error)
	ReadSessions(ctx context.Context, after token.SessionID, limit int) ([]authority.SessionWithOrigin, error)
	ReadAPIKeys(ctx context.Context, after int64, limit int) ([]APIKeyRecord, error)
	// WriteUsers, WriteSessions and WriteAPIKeys add rows as they are, all or none.
	WriteUsers(ctx context.Context, users []authority.UserWithHash) error
	WriteSessions(ctx context.Context, sessions []authority.SessionWithOrigin) error
	WriteAPIKeys(ctx context.Context, keys []APIKeyRecord) error
}

// Counts is how many rows of each kind a store has.
type Counts struct {
	Users, Sessions, APIKeys, SigningKeys int64
}

// APIKeyRecord is a key with its hash.
type APIKeyRecord struct {
	authority.APIKey
	Hash authority.APIKeyHash
}
