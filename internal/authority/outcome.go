package authority

import (
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// Observer hears how sign-ins, refreshes and introspections end, and of each
// event. It is called on the hot path and by many at once.
type Observer interface {
	SignedIn(LoginOutcome)
	Refreshed(RefreshOutcome)
	Introspected(active bool)
	// ReuseFound is called when an old token is taken for stolen, before its
	// session is ended: the store may be away.
	ReuseFound()
	// Recorded is called for each event of the audit, those too that the store
	// then loses.
	Recorded(audit.Kind)
}

// nobody hears nothing.
type nobody struct{}

func (nobody) SignedIn(LoginOutcome)    {}
func (nobody) Refreshed(RefreshOutcome) {}
func (nobody) Introspected(bool)        {}
func (nobody) ReuseFound()              {}
func (nobody) Recorded(audit.Kind)      {}

// LoginOutcome is how a sign-in ended. The audit and the metrics follow it.
type LoginOutcome uint8

// The outcomes of a sign-in.
const (
	LoginOpened      LoginOutcome = iota // a session was opened
	LoginRefused                         // wrong login or password, or a user who may not
	LoginDelayed                         // too many failed before: it must wait, and nothing was looked at
	LoginInvalid                         // something was missing
	LoginUnavailable                     // the store is away, or too many wait
	LoginFailed                          // an internal error
	LoginOutcomes                        // how many there are
)

// String gives the word for a metric.
func (o LoginOutcome) String() string {
	return [...]string{"opened", "refused", "delayed", "invalid", "unavailable", "failed"}[o]
}

// loginOutcome is the one place that decides how a sign-in ended.
func loginOutcome(err error) LoginOutcome {
	if err == nil {
		return LoginOpened
	}
	switch fault.KindOf(err) {
	case fault.InvalidCredentials:
		return LoginRefused
	case fault.RateLimited:
		return LoginDelayed
	case fault.InvalidParameter:
		return LoginInvalid
	case fault.Unavailable:
		return LoginUnavailable
	}
	return LoginFailed
}

// RefreshOutcome is how a refresh ended. The audit and the metrics follow it.
type RefreshOutcome uint8

// The outcomes of a refresh.
const (
	RefreshMoved       RefreshOutcome = iota // the session moved on
	RefreshReplayed                          // a lost answer was given again
	RefreshRace                              // an old token, within the window of a race
	RefreshTheft                             // an old token, taken for stolen: the session was ended
	RefreshExpired                           // the token's time was over
	RefreshEnded                             // its session has ended
	RefreshUnknown                           // not a token of this server
	RefreshKey                               // the API key is missing, not good, or another user's
	RefreshInvalid                           // no token, or not of the form of one
	RefreshUnavailable                       // the store is away
	RefreshFailed                            // an internal error
	RefreshOutcomes                          // how many there are
)

// String gives the word for a metric.
func (o RefreshOutcome) String() string {
	return [...]string{"moved", "replayed", "race", "theft", "expired", "ended", "unknown", "key", "invalid", "unavailable", "failed"}[o]
}

// refusals are the outcomes that are an EventRefreshRefused, and its detail. A
// theft is an event of its own.
var refusals = [RefreshOutcomes]string{
	RefreshRace: "spent a moment ago", RefreshExpired: "expired", RefreshEnded: "its session has ended",
	RefreshUnknown: "not a token of this server", RefreshKey: "API key",
}

// refreshOutcome is the one place that decides how a refresh ended.
func refreshOutcome(issued IssuedToken, err error) RefreshOutcome {
	switch err {
	case nil:
		if issued.replayed {
			return RefreshReplayed
		}
		return RefreshMoved
	case errRace:
		return RefreshRace
	case errStolen:
		return RefreshTheft
	case errExpired:
		return RefreshExpired
	case errEnded:
		return RefreshEnded
	case errUnknown:
		return RefreshUnknown
	}
	switch fault.KindOf(err) {
	case fault.InvalidAPIKey:
		return RefreshKey
	case fault.InvalidParameter:
		return RefreshInvalid
	case fault.Unavailable:
		return RefreshUnavailable
	}
	return RefreshFailed
}
