package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// testRotate checks the compare-and-swap, alone.
func testRotate(t *testing.T, s *state) {
	first := s.newSession(s.newUser("a"))
	key := authority.HashIdempotencyKey("k1")
	got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
		Session: first.ID, From: 1, At: now + 5, Expires: now + 3605, IdempotencyKey: key,
	})
	s.noError(err)
	want := first
	want.Generation = 2
	want.Previous, want.Refreshed = now, now+5
	want.Expires = now + 3605
	want.IdempotencyKey = key
	if !rotated || got.Session != want {
		t.Fatalf("rotated %v to %+v, want %+v", rotated, got.Session, want)
	}
	if read := s.wantSession(first.ID); read != want {
		t.Errorf("read %+v, want %+v", read, want)
	}
	for _, from := range []uint32{0, 1, 3} {
		got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
			Session: first.ID, From: from, At: now + 6, Expires: now + 3606,
		})
		s.noError(err)
		if rotated || got.Session != want {
			t.Errorf("from generation %d: rotated %v, session %+v; want false, %+v", from, rotated, got.Session, want)
		}
	}
	got, rotated, err = s.Rotate(t.Context(), authority.Rotation{
		Session: first.ID, From: 2, At: now + 9000, Expires: now + 12_600,
	})
	s.noError(err)
	if !rotated || got.Session.Expires != first.Ends {
		t.Errorf("rotated %v, expires %d; want true, the session's end %d", rotated, got.Session.Expires, first.Ends)
	}
	if got.Session.IdempotencyKey != (authority.IdempotencyKeyHash{}) {
		t.Error("the idempotency key of the refresh before was kept")
	}
	_, _, err = s.Rotate(t.Context(), authority.Rotation{
		Session: token.SessionID{77}, From: 1, At: now, Expires: now + 1,
	})
	s.wantError(err, fault.ErrNotFound)
}

// testRotateRace lets 100 callers rotate from the same generation, for ten generations.
func testRotateRace(t *testing.T, s *state) {
	session := s.newSession(s.newUser("a"))
	for from := uint32(1); from <= 10; from++ {
		var winners atomic.Int32
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				got, rotated, err := s.Rotate(t.Context(), authority.Rotation{
					Session: session.ID, From: from, At: now, Expires: now + 3600,
				})
				if err != nil || got.Session.Generation != from+1 {
					t.Errorf("generation %d, %v; want %d", got.Session.Generation, err, from+1)
				}
				if rotated {
					winners.Add(1)
				}
			})
		}
		group.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("%d callers rotated from generation %d, want 1", n, from)
		}
	}
}

// testRotateAgainstEnd races rotations against the end of a session. Afterwards the session must have ended.
func testRotateAgainstEnd(t *testing.T, s *state) {
	u := s.newUser("a")
	for range 20 {
		session := s.newSession(u)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				_, _, err := s.Rotate(t.Context(), authority.Rotation{
					Session: session.ID, From: 1, At: now, Expires: now + 3600,
				})
				if err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		s.noError(s.EndSession(t.Context(), authority.Rights{}, session.ID))
		s.wantNoSession(session.ID)
		group.Wait()
		s.wantNoSession(session.ID)
	}
}

// testSessionNeedsUser checks that a session is opened only for a user who may sign in, with the present hash.
func testSessionNeedsUser(t *testing.T, s *state) {
	open := func(id byte, userID int64, hash string) error {
		session := authority.Session{ID: token.SessionID{id}, UserID: userID, Generation: 1}
		_, err := s.OpenSession(t.Context(), authority.Opening{
			SessionWithOrigin: authority.SessionWithOrigin{Session: session}, PasswordHash: hash,
		})
		return err
	}
	s.wantError(open(1, 99, "hash"), fault.ErrNotFound)
	u := s.newUser("a")
	s.wantError(open(2, u.ID, "an earlier hash"), fault.ErrNotFound)
	s.setStatus(u.ID, authority.Suspended)
	s.wantError(open(3, u.ID, "hash"), fault.ErrNotFound)
	for id := range byte(3) {
		s.wantNoSession(token.SessionID{id + 1})
	}
}

// testEndSessions checks that the sessions of one user end, except one.
func testEndSessions(t *testing.T, s *state) {
	a, b := s.newUser("a"), s.newUser("b")
	ended, kept := s.newSession(a), s.newSession(a)
	other := s.newSession(b)
	s.noError(s.EndSessions(t.Context(), authority.Rights{}, a.ID, authority.EndOptions{Except: kept.ID}))
	s.wantNoSession(ended.ID)
	s.wantSession(kept.ID)
	s.noError(s.EndSessions(t.Context(), authority.Rights{}, a.ID, authority.EndOptions{}))
	s.wantNoSession(kept.ID)
	s.wantSession(other.ID)
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ended.ID)) // no error for an ended session
	list, err := s.Sessions(t.Context(), b.ID, now)
	s.noError(err)
	if len(list) != 1 || list[0].Session != other || list[0].IP != "192.0.2.1" {
		t.Errorf("sessions %+v, want %+v", list, other)
	}
	list, err = s.Sessions(t.Context(), b.ID, other.Expires)
	s.noError(err)
	if len(list) != 0 {
		t.Errorf("the list has an expired session: %+v", list)
	}
}

// testStatusEndsSessions checks what a suspension and a termination do to a user's sessions and API keys.
func testStatusEndsSessions(t *testing.T, s *state) {
	for i, status := range []authority.Status{authority.Suspended, authority.Terminated} {
		u := s.newUser(fmt.Sprint("user", i))
		session := s.newSession(u)
		private := authority.APIKey{UserID: u.ID, Visibility: authority.Private}
		hash := authority.APIKeyHash{byte(i), 1}
		_, err := s.CreateAPIKey(t.Context(), authority.Rights{}, private, hash)
		s.noError(err)
		if changed := s.setStatus(u.ID, status); changed.Status != status {
			t.Errorf("status %v, want %v", changed.Status, status)
		}
		s.wantNoSession(session.ID)
		_, owner, err := s.APIKeyByHash(t.Context(), hash)
		if status == authority.Terminated {
			s.wantError(err, fault.ErrNotFound)
			active := authority.Active
			_, err = s.UpdateUser(t.Context(), authority.Rights{}, u.ID, authority.UserChange{Status: &active})
			s.wantError(err, fault.ErrNotFound)
			_, err = s.CreateAPIKey(t.Context(), authority.Rights{}, private, authority.APIKeyHash{9})
			s.wantError(err, fault.ErrNotFound)
			continue
		}
		s.noError(err)
		if owner.ID != u.ID || owner.Status != status {
			t.Errorf("the API key's user is %+v, want user %d with status %v", owner, u.ID, status)
		}
		s.setStatus(u.ID, authority.Active)
		s.wantNoSession(session.ID)
	}
}

// testOpenAgainstSuspend races logins against a suspension. Afterwards no session may exist.
func testOpenAgainstSuspend(t *testing.T, s *state) {
	u := s.newUser("a")
	suspended := authority.Suspended
	for round := range byte(20) {
		var group sync.WaitGroup
		for i := range byte(10) {
			group.Go(func() {
				_, err := s.OpenSession(t.Context(), opening(u, token.SessionID{round, i, 7}))
				if err != nil && !errors.Is(err, fault.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		group.Go(func() {
			change := authority.UserChange{Status: &suspended}
			if _, err := s.UpdateUser(t.Context(), authority.Rights{}, u.ID, change); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		s.setStatus(u.ID, authority.Active)
		for i := range byte(10) {
			s.wantNoSession(token.SessionID{round, i, 7})
		}
	}
}

// testSweep sweeps ten sessions in steps of four rows. Half of the sessions have expired.
func testSweep(t *testing.T, s *state) {
	u := s.newUser("a")
	var sessions []authority.Session
	for i := range 10 {
		session := s.newSession(u)
		sessions = append(sessions, session)
		if i%2 == 0 {
			_, _, err := s.Rotate(t.Context(), authority.Rotation{
				Session: session.ID, From: 1, At: now, Expires: now + 9000,
			})
			s.noError(err)
		}
	}
	total := 0
	for step := range 5 {
		removed, done, err := s.Sweep(t.Context(), now+3600, 4)
		s.noError(err)
		total += removed
		if done {
			break
		}
		if step == 4 {
			t.Fatal("5 steps of 4 rows did not visit all of 10 rows")
		}
	}
	if total != 5 {
		t.Errorf("%d sessions were removed, want 5", total)
	}
	for i, session := range sessions {
		if i%2 == 0 {
			s.wantSession(session.ID)
		} else {
			s.wantNoSession(session.ID)
		}
	}
}

// testReopen checks that sessions are the same after the store was closed and opened.
func testReopen(t *testing.T, s *state) {
	u := s.newUser("a")
	session, ended := s.newSession(u), s.newSession(u)
	_, _, err := s.Rotate(t.Context(), authority.Rotation{
		Session: session.ID, From: 1, At: now + 1, Expires: now + 2, IdempotencyKey: authority.HashIdempotencyKey("k"),
	})
	s.noError(err)
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ended.ID))
	before := s.wantSession(session.ID)
	s.noError(s.Ready(t.Context()))
	s.reopen()
	if after := s.wantSession(session.ID); after != before {
		t.Errorf("session %+v after reopening, want %+v", after, before)
	}
	s.wantNoSession(ended.ID)
}
