package authority

// LoginOutcome is how a sign-in ended. The metrics count it.
type LoginOutcome uint8

// The outcomes of a sign-in.
const (
	LoginOpened      LoginOutcome = iota // a session was opened
	LoginRejected                        // wrong login or password, or a user who may not sign in
	LoginThrottled                       // too many failures before: the password was not checked
	LoginInvalid                         // a field was missing
	LoginUnavailable                     // the store was unreachable, or too many sign-ins were in progress
	LoginFailed                          // an internal error
	LoginOutcomes                        // the number of outcomes
)

// loginOutcomes are the outcomes' names in the metrics.
var loginOutcomes = [LoginOutcomes]string{"opened", "refused", "delayed", "invalid", "unavailable", "failed"}

// String returns the outcome's name in the metrics.
func (o LoginOutcome) String() string { return loginOutcomes[o] }

// RefreshOutcome is how a refresh ended. The metrics count it, and the audit has an event for some of them.
type RefreshOutcome uint8

// The outcomes of a refresh.
const (
	RefreshRotated       RefreshOutcome = iota // the session moved to its next generation
	RefreshReplayed                            // a repeated request got the same successor
	RefreshRace                                // a superseded token, soon after its rotation
	RefreshRaceElsewhere                       // a race with a refresh from another address
	RefreshMisplaced                           // a token in a cookie, of a session that no cookie was asked for
	RefreshTheft                               // a superseded token, taken for stolen: the session was ended
	RefreshExpired                             // an expired token
	RefreshEnded                               // a token of an ended session
	RefreshUnknown                             // not a token of this server
	RefreshAPIKey                              // the API key was missing, not valid, or another user's
	RefreshInvalid                             // the token was missing, or was not a JWT
	RefreshUnavailable                         // the store was unreachable
	RefreshFailed                              // an internal error
	RefreshOutcomes                            // the number of outcomes
)

// refreshOutcomes are the outcomes' names in the metrics.
var refreshOutcomes = [RefreshOutcomes]string{
	"moved", "replayed", "race", "raceElsewhere", "misplaced", "theft", "expired", "ended", "unknown", "key",
	"invalid", "unavailable", "failed",
}

// String returns the outcome's name in the metrics.
func (o RefreshOutcome) String() string { return refreshOutcomes[o] }

// rejectionDetails has the details of the event RefreshRefused. For an outcome without a detail, no event is recorded.
var rejectionDetails = [RefreshOutcomes]string{
	RefreshRace: "superseded a moment before",
	// The text begins with a word to search for, because the store keeps no level.
	RefreshRaceElsewhere: "warning: superseded a moment before, by a refresh from another address",
	RefreshMisplaced:     "warning: in a cookie, but not of a session with a cookie",

	RefreshExpired: "expired",
	RefreshEnded:   "session has ended",
	RefreshUnknown: "not a token of this server",
	RefreshAPIKey:  "API key missing or not valid",
}
