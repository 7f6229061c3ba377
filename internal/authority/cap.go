package authority

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/pawlauth/pawl/internal/token"
)

// Opening describes a session to open.
type Opening struct {
	SessionWithOrigin
	// PasswordHash is the required hash of the user's password. OpenSessionFor ignores it.
	PasswordHash string
	// NewUser is the user to create for OpenSessionFor; nil if the user exists.
	NewUser *UserWithHash
	// MaxSessions is Policy.MaxSessionsPerUser.
	MaxSessions int
	// Assertion is the assertion that opens the session. OpenSessionFor accepts each one once; nil if there is none.
	Assertion *UsedAssertion
}

// UsedAssertion identifies an assertion, so that it cannot open a second session.
type UsedAssertion struct {
	ID      [32]byte // trust.Assertion.ID
	Expires int64    // when the store may forget the ID, because the assertion is invalid by then
}

// MaxEndedAtOnce is how many excess sessions one OpenSession ends beyond the one that makes room for the new session.
// Users have excess sessions after the cap was lowered.
const MaxEndedAtOnce = 100

// EndedSession is a session that a store ended by itself.
type EndedSession struct {
	ID      token.SessionID
	UserID  int64
	ActorID int64 // SessionExtras.ActorID
	Reason  EndReason
}

// EndReason is why a store ended a session by itself.
type EndReason uint8

// The reasons.
const (
	EndedByCap  EndReason = iota + 1 // the user had Policy.MaxSessionsPerUser sessions and opened another one
	EndedByIdle                      // the session was not refreshed in time
	EndedByEnd                       // the session reached its Ends
)

var endReasons = []string{
	"", "the user signed in again and had too many sessions", "not refreshed in time", "reached its end",
}

// String returns the reason for the audit.
func (r EndReason) String() string { return nameOf(endReasons, int(r)) }

// TimedOut returns why a session has ended at now by its times, or 0 if it has not.
func (s *Session) TimedOut(now int64) EndReason {
	switch {
	case now < s.Idle:
		return 0
	case s.Idle == s.Ends:
		return EndedByEnd
	}
	return EndedByIdle
}

// Excess returns the sessions to end so that the opened session is one of o.MaxSessions. The others are sessions of the
// same user, or some of them if there are more than o.MaxSessions + MaxEndedAtOnce. Excess reorders others. It prefers
// sessions that have ended by now, and then those refreshed longest ago.
func (o *Opening) Excess(others []Session) []EndedSession {
	if o.MaxSessions == 0 || len(others) < o.MaxSessions {
		return nil
	}
	now := o.Created
	slices.SortFunc(others, func(a, b Session) int {
		return cmp.Or(
			cmp.Compare(b.TimedOut(now), a.TimedOut(now)),
			cmp.Compare(a.Refreshed, b.Refreshed), cmp.Compare(a.Created, b.Created), bytes.Compare(a.ID[:], b.ID[:]),
		)
	})
	ended := make([]EndedSession, len(others)-o.MaxSessions+1)
	for i := range ended {
		s := &others[i]
		ended[i] = EndedSession{
			ID: s.ID, UserID: s.UserID, ActorID: s.ActorID(), Reason: cmp.Or(s.TimedOut(now), EndedByCap),
		}
	}
	return ended
}
