package storetest

import (
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// wantEnded checks whether the store has signalled the end of sessions.
func (s *state) wantEnded(want bool) {
	s.Helper()
	got := false
	select {
	case <-s.Ended():
		got = true
	default:
	}
	if got != want {
		s.Errorf("the store has signalled ended sessions: %v, want %v", got, want)
	}
}

// purge purges in pages until the store is done, and returns how many sessions it removed.
func (s *state) purge(page int) (total int) {
	s.Helper()
	for {
		removed, done, err := s.Purge(s.Context(), page)
		s.noError(err)
		if removed > page {
			s.Fatalf("a page of %d removed %d sessions", page, removed)
		}
		total += removed
		if done {
			return total
		}
	}
}

// testPurge ends the sessions of users in each way, and removes their rows in pages. It never removes another session.
func testPurge(t *testing.T, s *state) {
	select {
	case <-s.Ended(): // a store may send after a start
	default:
	}
	reset, changed := s.newUser("a"), s.newUser("b")
	suspended, other := s.newUser("c"), s.newUser("d")
	var kept, ended []token.SessionID
	for _, u := range []*authority.User{reset, changed, suspended} {
		for range 7 {
			ended = append(ended, s.newSession(u).ID)
		}
	}
	kept = append(kept, s.newSession(reset).ID, s.newSession(other).ID)
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ended[0]))
	s.wantEnded(false)
	s.mustEndSessions(reset.ID, authority.EndOptions{Except: kept[0]})
	s.wantEnded(true)
	if removed, done, err := s.Purge(t.Context(), 2); err != nil || removed != 2 || done {
		t.Errorf("the first page removed %d sessions, done %v, %v", removed, done, err)
	}
	password := authority.PasswordChange{Hash: "hash"}
	s.noError(s.SetPassword(t.Context(), authority.Rights{}, changed.ID, password))
	s.wantEnded(false)
	password.EndSessions = true
	s.noError(s.SetPassword(t.Context(), authority.Rights{}, changed.ID, password))
	s.wantEnded(true)
	s.setStatus(suspended.ID, authority.Suspended)
	s.wantEnded(true)
	s.setStatus(suspended.ID, authority.Active)
	s.wantEnded(false)
	kept = append(kept, s.newSession(changed).ID, s.newSession(suspended).ID)
	s.reopen()
	s.wantEnded(true)
	if removed := s.purge(3); removed != len(ended)-1-2 {
		t.Errorf("the purge removed %d sessions, want %d", removed, len(ended)-1-2)
	}
	if removed := s.purge(3); removed != 0 {
		t.Errorf("the second purge removed %d sessions", removed)
	}
	for _, id := range ended {
		s.wantNoSession(id)
	}
	for _, id := range kept {
		s.wantSession(id)
	}
}
