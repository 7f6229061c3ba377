package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// openCapped opens a session at a time, with a cap. It returns the sessions ended by that.
func (s *state) openCapped(u *authority.User, id token.SessionID, at int64, maxSessions int) []authority.EndedSession {
	s.Helper()
	o := opening(u, id)
	o.Created, o.Refreshed = at, at
	o.Expires, o.Idle = at+3600, at+3600
	o.Ends = at + 10_000
	o.MaxSessions = maxSessions
	ended, err := s.OpenSession(s.Context(), o)
	s.noError(err)
	return ended
}

// wantSessionsOf compares the sessions of a user with those of the ids, in any order.
func (s *state) wantSessionsOf(u *authority.User, want ...token.SessionID) {
	s.Helper()
	list, err := s.sessionsOf(u, now)
	s.noError(err)
	got := []token.SessionID{}
	for _, r := range list {
		got = append(got, r.ID)
	}
	slices.SortFunc(got, compareIDs)
	slices.SortFunc(want, compareIDs)
	if !slices.Equal(got, want) {
		s.Fatalf("sessions %v, want %v", got, want)
	}
	for _, id := range want {
		s.wantSession(id)
	}
}

// testSessionCap opens sessions beyond a cap. Each sign-in ends the session refreshed longest ago, and its API key.
func testSessionCap(t *testing.T, s *state) {
	u, other := s.newUser("a"), s.newUser("b")
	others := s.newSession(other)
	id := func(n byte) token.SessionID { return token.SessionID{n, 200} }
	for n := range byte(3) {
		if ended := s.openCapped(u, id(n), now+int64(n), 3); len(ended) > 0 {
			t.Errorf("session %d of 3 ended %v", n, ended)
		}
	}
	key := authority.APIKey{UserID: u.ID, Visibility: authority.SessionOnly, Session: id(1)}
	key, err := s.CreateAPIKey(t.Context(), authority.Rights{}, key, authority.APIKeyHash{1})
	s.noError(err)
	rotation := authority.Rotation{Session: id(0), From: 1, At: now + 10, Lives: oneHour}
	_, rotated, err := s.Rotate(t.Context(), rotation)
	s.noError(err)
	if !rotated {
		t.Fatal("not rotated")
	}
	want := []authority.EndedSession{{ID: id(1), UserID: u.ID, Reason: authority.EndedByCap}}
	if ended := s.openCapped(u, id(3), now+20, 3); !slices.Equal(ended, want) {
		t.Errorf("ended %v, want %v", ended, want)
	}
	s.wantSessionsOf(u, id(0), id(2), id(3))
	s.wantNoSession(id(1))
	_, err = s.APIKey(t.Context(), key.ID)
	s.wantError(err, fault.ErrNotFound)
	s.wantSession(others.ID)

	// Sessions of an ended epoch do not count.
	s.mustEndSessions(u.ID, authority.EndOptions{Except: id(3)})
	for n := byte(4); n < 6; n++ {
		if ended := s.openCapped(u, id(n), now+30, 3); len(ended) > 0 {
			t.Errorf("session %d of 3 ended %v", n, ended)
		}
	}
	s.wantSessionsOf(u, id(3), id(4), id(5))
}

// testSessionCapExpired checks that a sign-in at the cap first ends sessions past their idle time.
func testSessionCapExpired(t *testing.T, s *state) {
	u := s.newUser("a")
	short, long := token.SessionID{1}, token.SessionID{2}
	s.openCapped(u, long, now, 2)
	o := opening(u, short)
	o.Created, o.Refreshed = now+10, now+10
	o.Expires, o.Idle = now+20, now+20
	_, err := s.OpenSession(t.Context(), o)
	s.noError(err)
	want := []authority.EndedSession{{ID: short, UserID: u.ID, Reason: authority.EndedByIdle}}
	if ended := s.openCapped(u, token.SessionID{3}, now+30, 2); !slices.Equal(ended, want) {
		t.Errorf("ended %v, want %v", ended, want)
	}
	s.wantSessionsOf(u, long, token.SessionID{3})
}

// testSessionCapLowered lowers the cap far below the number of a user's sessions. A sign-in ends a bounded number of
// them, and the next sign-ins end the rest. The sessions refreshed last remain.
func testSessionCapLowered(t *testing.T, s *state) {
	const sessions, maxSessions = 250, 10
	u := s.newUser("a")
	id := func(n int) token.SessionID { return token.SessionID{byte(n * 7), byte(n), byte(n >> 8), 3} }
	for n := range sessions {
		s.openCapped(u, id(n), now+int64(n), 0)
	}
	present := sessions
	for n := sessions; present > maxSessions; n++ {
		ended := s.openCapped(u, id(n), now+int64(n), maxSessions)
		present += 1 - len(ended)
		if len(ended) == 0 || len(ended) > authority.MaxEndedAtOnce+1 {
			t.Fatalf("a sign-in with %d sessions ended %d", present, len(ended))
		}
		for _, e := range ended {
			s.wantNoSession(e.ID)
		}
		list, err := s.sessionsOf(u, now)
		s.noError(err)
		if len(list) != present {
			t.Fatalf("%d sessions, want %d", len(list), present)
		}
		if present == maxSessions {
			for last := n; last > n-maxSessions; last-- {
				s.wantSession(id(last))
			}
		}
	}
}

// testSessionCapRace opens sessions of one user at once, while their first refreshes run. There are never more than the
// cap.
func testSessionCapRace(t *testing.T, s *state) {
	const maxSessions, callers = 5, 30
	u := s.newUser("a")
	for round := range byte(4) {
		var group sync.WaitGroup
		for n := range byte(callers) {
			group.Go(func() {
				o := opening(u, token.SessionID{n, round, 4})
				o.MaxSessions = maxSessions
				if _, err := s.OpenSession(t.Context(), o); err != nil {
					t.Error(err)
				}
				rotation := authority.Rotation{Session: o.ID, From: 1, At: now + 1, Lives: oneHour}
				if _, _, err := s.Rotate(t.Context(), rotation); err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
				list, err := s.sessionsOf(u, now)
				if err != nil || len(list) > maxSessions {
					t.Errorf("%d sessions, %v; want at most %d", len(list), err, maxSessions)
				}
			})
		}
		group.Wait()
		if list, err := s.sessionsOf(u, now); err != nil || len(list) != maxSessions {
			t.Errorf("%d sessions, %v; want %d", len(list), err, maxSessions)
		}
	}
}
