package fault

import (
	"context"
	"errors"
	"time"
)

// Kind is what went wrong, in the contract's terms.
type Kind uint8

// The kinds. Internal is every error that is not an *Error.
const (
	Internal Kind = iota
	InvalidParameter
	Duplicate
	InvalidCredentials
	InvalidSession
	InvalidAPIKey
	AccessDenied
	NotFound
	RateLimited
	Unavailable
)

// Error is an error that a client may see.
type Error struct {
	Kind       Kind
	Message    string        // one sentence: what to do about it
	RetryAfter time.Duration // for KindRateLimited and KindUnavailable
	Err        error         // the cause, for the log only; may be nil
}

// Error gives the message, which is fit for a client.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Invalid says which field breaks which rule; the message names the field.
func Invalid(message string) *Error {
	return &Error{Kind: InvalidParameter, Message: message}
}

var errDuplicateName = &Error{Kind: Duplicate, Message: "The login is taken; choose another."}

const RetryAfter = time.Second // for a store that is away for a moment

// FromStore turns an error of the store into one for the caller. notFound is
// what ErrNotFound means there; a nil notFound makes it an internal error.
func FromStore(err error, notFound *Error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound) && notFound != nil:
		return notFound
	case errors.Is(err, ErrDuplicate):
		return errDuplicateName
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{Kind: Unavailable, RetryAfter: RetryAfter, Err: err,
			Message: "The store cannot be reached now; try again in a moment."}
	}
	return err
}

func KindOf(err error) Kind {
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Kind
	}
	return Internal
}

// What a Store's errors mean; anything else is a fault of the store.
var (
	// ErrNotFound says that there is no such user, key or session (any more),
	// or that it may not do what was asked.
	ErrNotFound = errors.New("not found")
	// ErrDuplicate says that the login is taken.
	ErrDuplicate = errors.New("duplicate")
	// ErrUnavailable says that the store cannot be reached or cannot write
	// now. Nothing was changed, unless the answer to a commit itself was lost.
	ErrUnavailable = errors.New("store unavailable")
)
