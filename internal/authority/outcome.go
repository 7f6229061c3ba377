package authority

import (
	"github.com/pawlauth/pawl/internal/authority/fault"
)

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

// loginOutcomes are the outcomes' names in metrics.
var loginOutcomes = [LoginOutcomes]string{"opened", "refused", "delayed", "invalid", "unavailable", "failed"}

// String returns the outcome's name in metrics.
func (o LoginOutcome) String() string { return loginOutcomes[o] }

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
	RefreshRotated     RefreshOutcome = iota // the session moved on
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

// refreshOutcomes are the outcomes' names in metrics.
var refreshOutcomes = [RefreshOutcomes]string{
	"moved", "replayed", "race", "theft", "expired", "ended", "unknown", "key", "invalid", "unavailable", "failed",
}

// String returns the outcome's name in metrics.
func (o RefreshOutcome) String() string { return refreshOutcomes[o] }

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
		return RefreshRotated
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
