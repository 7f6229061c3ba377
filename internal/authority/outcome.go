package authority

import (
	"context"
	"errors"
)

// Observer hears how sign-ins and refreshes end. It is called on the hot path
// and by many at once.
type Observer interface {
	SignedIn(LoginOutcome)
	Refreshed(RefreshOutcome)
	// ReuseFound is called when an old token is taken for stolen, before its
	// session is revoked.
	ReuseFound()
}

// LoginOutcome is how a sign-in ended.
type LoginOutcome uint8

// The outcomes of a sign-in.
const (
	LoginOpened      LoginOutcome = iota // a session was opened
	LoginRefused                         // wrong login or password, or a user who may not
	LoginInvalid                         // something was missing
	LoginLimited                         // too many tries
	LoginUnavailable                     // the store is away, or too many wait
	LoginFailed                          // an internal error
	LoginOutcomes                        // how many there are
)

// String gives the word for a metric.
func (o LoginOutcome) String() string {
	return [...]string{"opened", "refused", "invalid", "limited", "unavailable", "failed"}[o]
}

// RefreshOutcome is how a refresh ended.
type RefreshOutcome uint8

// The outcomes of a refresh.
const (
	RefreshMoved       RefreshOutcome = iota // the session moved on
	RefreshReplayed                          // a lost answer was given again
	RefreshRace                              // an old token, within the window of a race
	RefreshTheft                             // an old token, taken for stolen: the session was revoked
	RefreshExpired                           // the token's time was over
	RefreshRefused                           // not a token or key that is good here
	RefreshUnavailable                       // the store is away
	RefreshFailed                            // an internal error
	RefreshOutcomes                          // how many there are
)

// String gives the word for a metric.
func (o RefreshOutcome) String() string {
	return [...]string{"moved", "replayed", "race", "theft", "expired", "refused", "unavailable", "failed"}[o]
}

// These give the caller the answer of errSession; that they are values of
// their own tells the outcomes apart.
var (
	errRace    = like(errSession)
	errTheft   = like(errSession)
	errExpired = like(errSession)
)

func like(e *Error) *Error { c := *e; return &c }

// Login opens a session. Of the arguments, a login that is unknown and a
// password that is wrong have the same answer in the same time.
func (a *Authority) Login(ctx context.Context, login, passwd string, from Origin) (Issued, error) {
	issued, err := a.login(ctx, login, passwd, from)
	if a.observer != nil {
		a.observer.SignedIn(loginOutcome(err))
	}
	return issued, err
}

func loginOutcome(err error) LoginOutcome {
	if err == nil {
		return LoginOpened
	}
	switch kindOf(err) {
	case KindInternal:
		return LoginFailed
	case KindInvalidParameter:
		return LoginInvalid
	case KindRateLimited:
		return LoginLimited
	case KindUnavailable:
		return LoginUnavailable
	}
	return LoginRefused
}

// Refresh exchanges the current token of a session for the next one; the old
// one is dead from then on. The steps are the contract's, section 4.
func (a *Authority) Refresh(ctx context.Context, text, apiKey string, retry RetryKey, from Origin) (Issued, error) {
	issued, err := a.refresh(ctx, text, apiKey, retry, from)
	if a.observer != nil {
		a.observer.Refreshed(refreshOutcome(issued, err))
	}
	return issued, err
}

func refreshOutcome(issued Issued, err error) RefreshOutcome {
	switch err {
	case nil:
		if issued.replayed {
			return RefreshReplayed
		}
		return RefreshMoved
	case errRace:
		return RefreshRace
	case errTheft:
		return RefreshTheft
	case errExpired:
		return RefreshExpired
	}
	switch kindOf(err) {
	case KindInternal:
		return RefreshFailed
	case KindUnavailable:
		return RefreshUnavailable
	}
	return RefreshRefused
}

func kindOf(err error) Kind {
	known, ok := errors.AsType[*Error](err)
	if !ok {
		return KindInternal
	}
	return known.Kind
}
