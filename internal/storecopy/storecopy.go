// Package storecopy works on whole stores: Copy moves everything from one store to another, of the same or another
// kind, and EndSessions ends every session of a store. Copier is the interface that a store implements for both.
package storecopy

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
)

// ErrNotEmpty is returned by BeginCopy for a store with users, unless it is the target of an incomplete copy.
var ErrNotEmpty = errors.New("the store is not empty")

// ErrMissing is returned for an address without a store.
var ErrMissing = errors.New("there is no store")

// ErrNoAdministrator is returned for a store without a user of level Root. No one can have used such a store.
var ErrNoAdministrator = errors.New("the store has no administrator")

// ErrIncomplete is returned for a store that an interrupted copy left with only a part of the state.
var ErrIncomplete = errors.New("this store is the target of an incomplete copy; run that copy again")

// Copier reads and writes the whole state of a store, so that Copy can move it to a store of another kind. No other
// process may use either store during a copy.
//
// A copy begins with BeginCopy and ends with EndCopy. In between the target is marked, and a server refuses to start
// on it. An interrupted copy starts over from an empty target, because a session that ended in the source after the
// interruption would otherwise come back.
type Copier interface {
	// BeginCopy marks the store. It first empties a store marked by an earlier copy, and returns ErrNotEmpty for a
	// store with users and no mark.
	BeginCopy(ctx context.Context) error
	// EndCopy removes the mark.
	EndCopy(ctx context.Context) error
	// CopyInProgress reports whether the store is marked, and therefore has only a part of the state.
	CopyInProgress(ctx context.Context) (bool, error)
	// Count returns how many rows the store has.
	Count(ctx context.Context) (Counts, error)
	// ReadUsers and the other reads return up to limit rows in the order of their ids, starting after the given id. The
	// zero id starts with the first row.
	ReadUsers(ctx context.Context, after int64, limit int) ([]authority.UserWithHash, error)
	ReadSessions(ctx context.Context, after token.SessionID, limit int) ([]authority.SessionWithOrigin, error)
	ReadAPIKeys(ctx context.Context, after int64, limit int) ([]APIKeyRecord, error)
	ReadAssertions(ctx context.Context, after AssertionID, limit int) ([]authority.UsedAssertion, error)
	// WriteUsers and the other writes add the rows unchanged: either all of them, or none.
	WriteUsers(ctx context.Context, users []authority.UserWithHash) error
	WriteSessions(ctx context.Context, sessions []authority.SessionWithOrigin) error
	WriteAPIKeys(ctx context.Context, keys []APIKeyRecord) error
	WriteAssertions(ctx context.Context, assertions []authority.UsedAssertion) error
}

// AssertionID is the ID of an authority.UsedAssertion.
type AssertionID = [32]byte

// Store is a store that Copy can read and write.
type Store interface {
	authority.SigningKeyStore
	authority.ReceiverStore
	Copier
}

// Counts has the number of rows of each kind in a store.
type Counts struct {
	Users, Sessions, APIKeys, SigningKeys int64

	Assertions int64 // the used assertions of trusted issuers, which must not open a session of the target again
}

// Report is the result of a check of a whole store.
type Report struct {
	Counts
	// Problems has a sentence for each kind of damage. It is empty if the store is whole.
	Problems []string
}

// Inspection is what a server needs of a store, read without a change.
type Inspection struct {
	Schema, Latest int64                // the version of the schema, and the one that a start migrates it to
	SigningKeys    []keyring.SigningKey // unretired, with ID and JWK only
	Layout         string               // where a distributed store keeps its sessions, in words; else ""
}

// Problem returns the sentence for damaged rows: how many there are, and one of them.
func Problem(count int64, what, example string) string {
	return fmt.Sprintf("%d %s, for example %s", count, what, example)
}

// APIKeyRecord is an API key with its hash.
type APIKeyRecord struct {
	authority.APIKey
	Hash authority.APIKeyHash
}

// Progress receives how many rows of a kind are done, of how many.
type Progress func(kind string, done, total int64)

// pageSize is how many rows are read and written at a time.
const pageSize = 5000
