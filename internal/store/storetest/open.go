package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// openingFor returns the opening of a session for a new user with an external id.
func openingFor(externalID, login string, id token.SessionID) authority.Opening {
	o := opening(&authority.User{}, id)
	o.PasswordHash = ""
	o.NewUser = &authority.UserWithHash{User: authority.User{
		Login: login, ExternalID: externalID, Level: authority.MailboxUser, Status: authority.Active, Created: now,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 2},
	}}
	return o
}

// testOpenFor opens sessions without a password, for an existing user and for a new one.
func testOpenFor(t *testing.T, s *state) {
	existing := s.newUser("a")
	o := opening(existing, token.SessionID{1})
	o.PasswordHash = "wrong"
	o.Session.Extras = &authority.SessionExtras{Claims: `{"a":1}`, ActorID: existing.ID}
	u, ended, err := s.OpenSessionFor(t.Context(), authority.Rights{}, o)
	s.noError(err)
	if *u != *existing || len(ended) > 0 {
		t.Errorf("user %+v and ended %v, want %+v and none", u, ended, existing)
	}
	s.wantEqual(s.wantSession(o.ID), o.Session)

	o = openingFor("x", "new", token.SessionID{2})
	u, _, err = s.OpenSessionFor(t.Context(), authority.Rights{}, o)
	s.noError(err)
	want := o.NewUser.User
	want.ID = u.ID
	if *u != want || u.ID == 0 || u.ID == existing.ID {
		t.Errorf("new user %+v, want %+v", u, want)
	}
	if got := s.wantSession(o.ID); got.UserID != u.ID {
		t.Errorf("the session is of user %d, want %d", got.UserID, u.ID)
	}
	s.reopen()
	if got, hash, err := s.UserByLogin(t.Context(), "new"); err != nil || *got != want || hash != "" {
		t.Errorf("stored %+v with hash %q, %v; want %+v", got, hash, err, want)
	}
	s.wantSession(o.ID)

	o.ID = token.SessionID{3}
	o.NewUser.Login = "y"
	_, _, err = s.OpenSessionFor(t.Context(), authority.Rights{}, o)
	s.wantError(err, fault.ErrExternalIDTaken)
	o.NewUser.Login, o.NewUser.ExternalID = "new", "y"
	_, _, err = s.OpenSessionFor(t.Context(), authority.Rights{}, o)
	s.wantError(err, fault.ErrDuplicate)
	o.NewUser.Login, o.NewUser.Status = "suspended", authority.Suspended
	_, _, err = s.OpenSessionFor(t.Context(), authority.Rights{}, o)
	s.wantError(err, fault.ErrNotFound)
	s.wantNoSession(o.ID)
	for _, login := range []string{"suspended", "y"} { // nothing is left of a call that failed
		_, _, err = s.UserByLogin(t.Context(), login)
		s.wantError(err, fault.ErrNotFound)
	}
	s.setStatus(existing.ID, authority.Suspended)
	_, _, err = s.OpenSessionFor(t.Context(), authority.Rights{}, opening(existing, token.SessionID{4}))
	s.wantError(err, fault.ErrNotFound)
	s.wantNoSession(token.SessionID{4})
}

// testOpenForRace lets ten callers open a session for one new user at the same time, ten times. One call creates the
// user; the others fail, and open a session of the same user with a second call.
func testOpenForRace(t *testing.T, s *state) {
	for round := range byte(10) {
		var group sync.WaitGroup
		var mu sync.Mutex // guards created
		created := 0
		externalID := string('a' + rune(round))
		for i := range byte(10) {
			group.Go(func() {
				o := openingFor(externalID, "login "+externalID, token.SessionID{round, i, 5})
				_, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, o)
				if errors.Is(err, fault.ErrDuplicate) {
					u, err := s.UserByExternalID(t.Context(), externalID)
					if err == nil {
						_, _, err = s.OpenSessionFor(t.Context(), authority.Rights{}, opening(u, o.ID))
					}
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				created++
			})
		}
		group.Wait()
		u, err := s.UserByExternalID(t.Context(), externalID)
		s.noError(err)
		list, err := s.Sessions(t.Context(), authority.SessionFilter{UserID: u.ID, Now: now, Limit: 99})
		s.noError(err)
		if created != 1 || len(list) != 10 {
			t.Fatalf("%d callers created the user, who has %d sessions; want 1 and 10", created, len(list))
		}
	}
}

// testOpenForRights checks that a caller who has lost the rights creates no user, and that a change of the session's
// actor is noticed.
func testOpenForRights(t *testing.T, s *state) {
	sc := s.newScene(apiKey, false)
	sc.rights.Target = authority.Target{}
	o := openingFor("x", "new", token.SessionID{1})
	s.setStatus(sc.actor.ID, authority.Suspended)
	_, _, err := s.OpenSessionFor(t.Context(), sc.rights, o)
	s.wantError(err, fault.ErrActorEnded)
	_, err = s.UserByExternalID(t.Context(), "x")
	s.wantError(err, fault.ErrNotFound)

	for name, happens := range map[string]func(*scene){
		"demoted": setLevel(targetOf, authority.General), "moved": setNetwork(targetOf),
		"suspended": setStatus(targetOf, authority.Suspended),
	} {
		sc := s.newScene(both, false)
		sc.rights.Target, sc.rights.SessionActor = authority.Target{}, sc.rights.Target
		o := openingFor(sc.unique(), sc.unique(), token.SessionID{9, byte(len(name))})
		happens(sc)
		_, _, err := s.OpenSessionFor(t.Context(), sc.rights, o)
		s.wantError(err, fault.ErrRightsChanged)
		s.wantNoSession(o.ID)
	}
}

// testAssertionOnce checks that an assertion opens one session, however many calls use it at once and after a restart,
// and that a failed call does not use it up.
func testAssertionOnce(t *testing.T, s *state) {
	u := s.newUser("a")
	used := &authority.UsedAssertion{ID: [32]byte{1}, Expires: now + 60}
	failing := opening(u, token.SessionID{9})
	failing.UserID = u.ID + 1000
	failing.Assertion = used
	if _, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, failing); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a user who does not exist: %v", err)
	}
	var group sync.WaitGroup
	var opened atomic.Int64
	for i := range byte(20) {
		group.Go(func() {
			o := opening(u, token.SessionID{i, 7})
			o.Assertion = used
			_, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, o)
			switch {
			case err == nil:
				opened.Add(1)
			case !errors.Is(err, fault.ErrAssertionUsed):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := opened.Load(); n != 1 {
		t.Errorf("one assertion opened %d sessions", n)
	}
	s.reopen()
	o := opening(u, token.SessionID{30})
	o.Assertion = used
	if _, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, o); !errors.Is(err, fault.ErrAssertionUsed) {
		t.Errorf("after a restart: %v", err)
	}
	o.Assertion = &authority.UsedAssertion{ID: [32]byte{2}, Expires: now + 60}
	_, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, o)
	s.noError(err)
}

// testSessionActor ends all sessions of an actor in each way. Sessions in which the actor acts then have no actor, and
// those opened later have one.
func testSessionActor(t *testing.T, s *state) {
	actor, user := s.newUser("actor"), s.newUser("user")
	count := byte(0)
	openFor := func(u *authority.User, extras *authority.SessionExtras) authority.Session {
		count++
		o := opening(u, token.SessionID{count, 8})
		o.Session.Extras = extras
		_, _, err := s.OpenSessionFor(t.Context(), authority.Rights{}, o)
		s.noError(err)
		return o.Session
	}
	act := func() authority.Session { return openFor(user, &authority.SessionExtras{ActorID: actor.ID}) }
	check := func(name string, session authority.Session, acts bool) {
		t.Helper()
		gotActor, gotUser, err := s.SessionActor(t.Context(), session)
		s.noError(err)
		if (gotActor != nil) != acts || acts && gotActor.ID != actor.ID || gotUser == nil || gotUser.ID != user.ID {
			t.Errorf("%s: the actor is %+v and the user %+v; want an actor: %v", name, gotActor, gotUser, acts)
		}
	}
	session := act()
	own := s.newSession(actor)
	s.mustEndSessions(user.ID, authority.EndOptions{Except: session.ID})
	s.noError(s.EndSession(t.Context(), authority.Rights{}, own.ID))
	change := authority.UserChange{Level: new(authority.General)}
	_, err := s.UpdateUser(t.Context(), authority.Rights{}, actor.ID, change)
	s.noError(err)
	s.noError(s.SetPassword(t.Context(), authority.Rights{}, actor.ID, authority.PasswordChange{Hash: "another"}))
	check("the actor's sessions have not all ended", session, true)

	for name, end := range map[string]func(){
		"reset": func() { s.mustEndSessions(actor.ID, authority.EndOptions{}) },
		"all but one ended": func() {
			s.mustEndSessions(actor.ID, authority.EndOptions{Except: openFor(actor, nil).ID})
		},
		"password changed": func() {
			change := authority.PasswordChange{Hash: "a third", EndSessions: true}
			s.noError(s.SetPassword(t.Context(), authority.Rights{}, actor.ID, change))
		},
		"suspended for a moment": func() {
			s.setStatus(actor.ID, authority.Suspended)
			s.setStatus(actor.ID, authority.Active)
		},
	} {
		before := act()
		check(name, before, true)
		end()
		check(name, before, false)
		after := act()
		check("after "+name, after, true)
		s.reopen()
		check(name, before, false)
		check("after "+name, after, true)
	}
	unknown := session
	unknown.UserID = user.ID + 1000
	_, _, err = s.SessionActor(t.Context(), unknown)
	s.wantError(err, fault.ErrNotFound)
}

// testSessionActorRights makes each write of a session with an actor after the actor has lost the right to act. The
// write must fail and change nothing.
func testSessionActorRights(t *testing.T, s *state) {
	for name, happens := range map[string]func(func(*scene) *authority.User) func(*scene){
		"suspended": func(of func(*scene) *authority.User) func(*scene) { return setStatus(of, authority.Suspended) },
		"demoted":   func(of func(*scene) *authority.User) func(*scene) { return setLevel(of, authority.General) },
		"moved":     setNetwork,
	} {
		sc := s.newScene(bearer, false)
		supporter := sc.newUserIn(sc.actor.NetworkID, authority.NetworkAdmin)
		sc.rights.SessionActor = authority.Target{
			ID: supporter.ID, Level: supporter.Level, Tenant: supporter.Tenant, Status: supporter.Status,
		}
		happens(func(*scene) *authority.User { return supporter })(sc)
		sc.wantRefused("actor of the session "+name, fault.ErrRightsChanged)
	}
}
