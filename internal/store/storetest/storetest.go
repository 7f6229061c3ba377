// Package storetest is the one suite that every store passes completely. Each test works through the interface of the
// store alone, and so it shows that the store keeps the contract of authority.Store.
package storetest

import (
	"errors"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/userimport"
)

// now is the time of the tests: Unix seconds.
const now = 1_795_500_000

var oneHour = authority.Lives{Token: 3600, Idle: 3600}

// Store has all methods tested by the suite.
type Store interface {
	authority.Store
	userimport.Store
	storecopy.Copier
}

// suite has the tests by name.
var suite = map[string]func(*testing.T, *state){
	"Rotate":             testRotate,
	"RotateRace":         testRotateRace,
	"RecordReplay":       testRecordReplay,
	"Idle":               testIdle,
	"SessionExtras":      testSessionExtras,
	"RotateAgainstEnd":   testRotateAgainstEnd,
	"RotateAPIKeys":      testRotateAPIKeys,
	"RotateAgainstKey":   testRotateAgainstKey,
	"SessionNeedsUser":   testSessionNeedsUser,
	"EndSessions":        testEndSessions,
	"StatusEndsSessions": testStatusEndsSessions,
	"OpenAgainstSuspend": testOpenAgainstSuspend,
	"Sweep":              testSweep,
	"Reopen":             testReopen,

	"Purge":              testPurge,
	"SessionPages":       testSessionPages,
	"OneSession":         testOneSession,
	"SessionPagesOfNone": testSessionPagesOfNone,
	"EndSessionsCount":   testEndSessionsCount,
	"SessionCap":         testSessionCap,
	"SessionCapExpired":  testSessionCapExpired,
	"SessionCapLowered":  testSessionCapLowered,
	"SessionCapRace":     testSessionCapRace,

	"OpenFor":       testOpenFor,
	"OpenForRace":   testOpenForRace,
	"OpenForRights": testOpenForRights,
	"AssertionOnce": testAssertionOnce,

	"SessionActor":       testSessionActor,
	"SessionActorRights": testSessionActorRights,

	"Users":       testUsers,
	"FirstRoot":   testFirstRoot,
	"ListUsers":   testListUsers,
	"Search":      testSearch,
	"DenseSearch": testDenseSearch,
	"ExternalIDs": testExternalIDs,
	"Passwords":   testPasswords,
	"ImportUsers": testImportUsers,
	"ImportRace":  testImportRace,

	"Rights":       testRights,
	"RightsSwept":  testRightsSwept,
	"RightsHold":   testRightsHold,
	"RightsRace":   testRightsRace,
	"LastRoot":     testLastRoot,
	"LastRootRace": testLastRootRace,

	"APIKeys":        testAPIKeys,
	"SessionAPIKeys": testSessionAPIKeys,
	"Credentials":    testCredentials,
	"APIKeySweep":    testAPIKeySweep,
	"SigningKeys":    testSigningKeys,
	"SealKeys":       testSealSigningKeys,
	"RetireRace":     testRetireRace,

	"Attempts":             testAttempts,
	"AttemptsKnownAddress": testAttemptsKnownAddress,
	"AttemptsAfterSetBack": testAttemptsAfterSetBack,
	"AttemptsOfAddress":    testAttemptsOfAddress,
	"AttemptsRace":         testAttemptsRace,
	"AttemptsInProgress":   testAttemptsInProgress,
	"AttemptsSweep":        testAttemptsSweep,
	"AttemptsMaxAccounts":  testAttemptsMaxAccounts,

	"Receivers": testReceivers, "ReceiversAtOnce": testReceiversAtOnce,
	"Leases":            testLeases,
	"LeaseRace":         testLeaseRace,
	"LeaseAfterSetBack": testLeaseAfterSetBack,

	"Events":       testEvents,
	"EventsAfter":  testEventsAfter,
	"EventsBefore": testEventsBefore,
	"EventsOrder":  testEventsOrder,
	"EventsMoved":  testEventsOfMovedUser,
	"EventsSweep":  testEventsSweep,
}

// Run tests a store. Within one test, each call of open must return a handle on the same state. The test closes the
// handle before it opens the next one.
func Run(t *testing.T, newState func(t *testing.T) (open func() Store)) {
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			open := newState(t)
			s := &state{T: t, Store: open(), open: open}
			t.Cleanup(func() { s.Store.Close() })
			test(t, s)
		})
	}
}

// state is a store under test, with helpers that end the test after an unexpected result.
type state struct {
	*testing.T
	Store
	open     func() Store
	sessions byte         // the number of sessions opened by newSession
	counter  atomic.Int64 // makes texts unique
}

// noError ends the test if there is an error.
func (s *state) noError(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wantEqual compares values with what they point to.
func (s *state) wantEqual(got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("%+v, want %+v", got, want)
	}
}

// wantError ends the test if the error is another one.
func (s *state) wantError(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error %v, want %v", err, want)
	}
}

// reopen closes the store and opens it again.
func (s *state) reopen() {
	s.Helper()
	s.noError(s.Close())
	s.Store = s.open()
}

// newUser adds a user.
func (s *state) newUser(login string) *authority.User {
	s.Helper()
	u, err := s.CreateUser(s.Context(), authority.Rights{}, authority.User{
		Login: login, Email: login, Level: authority.MailboxUser, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 2}, Created: now,
	}, "hash")
	s.noError(err)
	return u
}

// setStatus changes the status of a user.
func (s *state) setStatus(id int64, status authority.Status) *authority.User {
	s.Helper()
	u, err := s.UpdateUser(s.Context(), authority.Rights{}, id, authority.UserChange{Status: &status})
	s.noError(err)
	return u
}

// mustEndSessions ends the sessions of a user without a caller, and returns how many it ended.
func (s *state) mustEndSessions(userID int64, opts authority.EndOptions) int64 {
	s.Helper()
	ended, err := s.EndSessions(s.Context(), authority.Rights{}, userID, opts)
	s.noError(err)
	return ended
}

// sessionsOf lists the sessions of a user.
func (s *state) sessionsOf(u *authority.User, at int64) ([]authority.SessionWithOrigin, error) {
	return s.Sessions(s.Context(), authority.SessionFilter{UserID: u.ID, Now: at, Limit: 1000})
}

// newSession opens a session of generation 1. The session expires in an hour and ends in 10,000 seconds.
func (s *state) newSession(u *authority.User) authority.Session {
	s.Helper()
	s.sessions++
	o := opening(u, token.SessionID{s.sessions, 9})
	_, err := s.OpenSession(s.Context(), o)
	s.noError(err)
	return o.Session
}

// opening returns the opening of a session of generation 1, without a cap. The session expires in an hour and ends in
// 10,000 seconds.
func opening(u *authority.User, id token.SessionID) authority.Opening {
	return authority.Opening{
		SessionWithOrigin: authority.SessionWithOrigin{
			Session: authority.Session{
				ID: id, UserID: u.ID, Generation: 1,
				Created: now, Refreshed: now, Expires: now + 3600, Idle: now + 3600, Ends: now + 10_000,
			},
			Origin: authority.Origin{IP: "192.0.2.1", UserAgent: "test"},
		},
		PasswordHash: "hash",
	}
}

// wantSession returns a session. The session must exist.
func (s *state) wantSession(id token.SessionID) authority.Session {
	s.Helper()
	got, err := s.Session(s.Context(), id)
	s.noError(err)
	if got.User == nil || got.User.ID != got.Session.UserID {
		s.Fatalf("the session of user %d has the user %+v", got.Session.UserID, got.User)
	}
	return got.Session
}

// wantNoSession ends the test if a session exists or can be rotated.
func (s *state) wantNoSession(id token.SessionID) {
	s.Helper()
	_, err := s.Session(s.Context(), id)
	s.wantError(err, fault.ErrNotFound)
	_, _, err = s.Rotate(s.Context(), authority.Rotation{Session: id, From: 1, At: now, Lives: oneHour})
	s.wantError(err, fault.ErrNotFound)
}
