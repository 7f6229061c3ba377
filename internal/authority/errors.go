package authority

import (
	"context"
	"errors"
	"time"
)

// Kind is what went wrong, in the contract's terms.
type Kind uint8

// The kinds. KindInternal is every error that is not an *Error.
const (
	KindInternal Kind = iota
	KindInvalidParameter
	KindDuplicate
	KindInvalidCredentials
	KindInvalidSession
	KindInvalidAPIKey
	KindAccessDenied
	KindNotFound
	KindRateLimited
	KindUnavailable
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

// invalid says which field breaks which rule; the message names the field.
func invalid(message string) *Error {
	return &Error{Kind: KindInvalidParameter, Message: message}
}

var (
	errCredentials   = &Error{Kind: KindInvalidCredentials, Message: "The login or the password is wrong; check both and try again."}
	errNoSession     = &Error{Kind: KindInvalidSession, Message: "No credentials were sent; sign in and send the token as a bearer, or send an API key."}
	errSession       = &Error{Kind: KindInvalidSession, Message: "The token is not valid any more; sign in again."}
	errAPIKey        = &Error{Kind: KindInvalidAPIKey, Message: "The API key is not valid; check that it is whole, or ask for a new one."}
	errKeyMissing    = &Error{Kind: KindInvalidAPIKey, Message: "This server wants an API key for a refresh; send it as X-API-Key."}
	errLevel         = &Error{Kind: KindAccessDenied, Message: "Your level does not reach for this; ask an administrator."}
	errPlace         = &Error{Kind: KindAccessDenied, Message: "The network or mailbox is not one that you administer; ask its administrator."}
	errOwnStatus     = &Error{Kind: KindAccessDenied, Message: "You cannot suspend or remove yourself; ask another administrator."}
	errUserNotFound  = &Error{Kind: KindNotFound, Message: "There is no such user that you may see; check the userId."}
	errKeyNotFound   = &Error{Kind: KindNotFound, Message: "There is no such key that you may see; check the keyId."}
	errNoPrimaryKey  = &Error{Kind: KindNotFound, Message: "The user has no primary key; make one with /v2/users/key-generate/{id}."}
	errGone          = &Error{Kind: KindNotFound, Message: "There is no such session that you may see; list the live ones with /v2/auth/sessions."}
	errDuplicateName = &Error{Kind: KindDuplicate, Message: "The login is taken; choose another."}
	errManyKeys      = invalid("userId has 1000 keys, and that is as many as a user may have; remove one first.")
	errSessionKey    = invalid("visibility Session needs a caller with a bearer token, for a key of their own.")
)

// How a refresh is refused, for refreshOutcome. The answer is the same for all:
// a thief learns nothing from it.
var (
	errRace    = &Error{Kind: KindInvalidSession, Message: errSession.Message}
	errStolen  = &Error{Kind: KindInvalidSession, Message: errSession.Message}
	errExpired = &Error{Kind: KindInvalidSession, Message: errSession.Message}
	errEnded   = &Error{Kind: KindInvalidSession, Message: errSession.Message}
	errUnknown = &Error{Kind: KindInvalidSession, Message: errSession.Message}
)

const retryAfter = time.Second // for a store that is away for a moment

// storeError turns an error of the store into one for the caller. notFound is
// what ErrNotFound means there; a nil notFound makes it an internal error.
func storeError(err error, notFound *Error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound) && notFound != nil:
		return notFound
	case errors.Is(err, ErrDuplicate):
		return errDuplicateName
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{Kind: KindUnavailable, RetryAfter: retryAfter, Err: err,
			Message: "The store cannot be reached now; try again in a moment."}
	}
	return err
}
