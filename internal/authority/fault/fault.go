// Package fault has the errors of the domain. An *Error has a kind and a message. The kind decides the HTTP status and
// the errorCode of the response, and a client may see the message. A few sentinel errors are the errors returned by a
// store; FromStore turns them into *Errors. Every other error is internal: the client sees no more of it than the
// request's id.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind is what went wrong, in the terms of the wire contract.
type Kind uint8

// The kinds. Every error that is not an *Error is Internal.
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

// Error is an error whose message a client may see.
type Error struct {
	Kind       Kind
	Message    string        // states what failed, then what to do
	RetryAfter time.Duration // set if the kind is RateLimited or Unavailable
	Err        error         // the cause, for the log only; optional
}

// New returns an error without a cause.
func New(kind Kind, message string) *Error { return &Error{Kind: kind, Message: message} }

// Invalid returns an error for an invalid parameter. The message begins with the parameter's name.
func Invalid(message string) *Error { return New(InvalidParameter, message) }

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error.
func KindOf(err error) Kind {
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Kind
	}
	return Internal
}

// The errors of a store. Any other error of a store means that the store is defective.
var (
	// ErrNotFound means that the row does not exist (any more), or its state does not allow the call. Each method of a
	// store documents which.
	ErrNotFound = errors.New("not found")
	// ErrDuplicate means that the login is taken.
	ErrDuplicate = errors.New("duplicate")
	// ErrExternalIDTaken is the ErrDuplicate of an external id.
	ErrExternalIDTaken = fmt.Errorf("%w external id", ErrDuplicate)
	// ErrAssertionUsed means that an assertion has opened a session before. Nothing was changed.
	ErrAssertionUsed = errors.New("the assertion was used before")
	// ErrActorEnded means that the caller of a write is no longer signed in. Nothing was changed.
	ErrActorEnded = errors.New("the caller is no longer signed in")
	// ErrRightsChanged means that the rights of the caller of a write changed since they were checked. Nothing was
	// changed.
	ErrRightsChanged = errors.New("the caller's rights changed")
	// ErrLastRoot means that a write would leave no active Root. Nothing was changed.
	ErrLastRoot = errors.New("the last active Root")
	// ErrReceiversFull means that the store has as many receivers as it may have. Nothing was changed.
	ErrReceiversFull = errors.New("the store has as many receivers as it may have")
	// ErrHasAdministrator means that the store has a user of level Root already. Nothing was changed.
	ErrHasAdministrator = errors.New("the store has an administrator")
	// ErrUnavailable means that the store is unreachable or cannot write. Nothing was changed, except if the
	// acknowledgement of a commit was lost.
	ErrUnavailable = errors.New("store unavailable")
)

var (
	errLoginTaken      = New(Duplicate, "The login is taken; choose another.")
	errAssertionUsed   = New(InvalidParameter, "The assertion was used before; get a new one from the issuer.")
	errExternalIDTaken = New(Duplicate, "The externalId belongs to another user; remove it there first.")

	errHasAdministrator = New(AccessDenied, "There is an administrator already; sign in, or ask for an account.")
)

// retryAfter is the RetryAfter of an error expected to be short.
const retryAfter = time.Second

// FromStore turns an error of a store into one for the client. It returns notFound for ErrNotFound. If notFound is
// nil, ErrNotFound is an internal error.
func FromStore(err error, notFound *Error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound) && notFound != nil:
		return notFound
	case errors.Is(err, ErrExternalIDTaken):
		return errExternalIDTaken
	case errors.Is(err, ErrDuplicate):
		return errLoginTaken
	case errors.Is(err, ErrAssertionUsed):
		return errAssertionUsed
	case errors.Is(err, ErrHasAdministrator):
		return errHasAdministrator
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable("The store is unreachable; retry after 1 s.", err)
	}
	return err
}

// Busy returns an error for a sign-in rejected because too many are in progress.
func Busy(cause error) *Error {
	return unavailable("Too many sign-ins are in progress; retry after 1 s.", cause)
}

// Changing returns an error for a write that others have overtaken again and again.
func Changing() *Error {
	return unavailable("The user is being changed by others; retry after 1 s.", ErrRightsChanged)
}

func unavailable(message string, cause error) *Error {
	return &Error{Kind: Unavailable, Message: message, RetryAfter: retryAfter, Err: cause}
}
