package storetest

import (
	"slices"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// userIn adds a user in a tenant.
func (s *state) userIn(login string, network, mailbox int64, level authority.Level) *authority.User {
	s.Helper()
	u, err := s.CreateUser(s.Context(), authority.Rights{}, authority.User{
		Login: login, Level: level, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: network, MailboxID: mailbox}, Created: now,
	}, "hash")
	s.noError(err)
	return u
}

// openAt opens a session at a time.
func (s *state) openAt(u *authority.User, at int64) token.SessionID {
	s.Helper()
	s.sessions++
	id := token.SessionID{s.sessions * 83, s.sessions, 9} // not in the order of time
	s.openCapped(u, id, at, 0)
	return id
}

// pages returns the ids of all sessions of a filter, read in pages of a size.
func (s *state) pages(f authority.SessionFilter, size int64) (ids []token.SessionID) {
	s.Helper()
	for f.Limit = size; ; f.Offset += size {
		page, err := s.Sessions(s.Context(), f)
		s.noError(err)
		if page == nil || int64(len(page)) > size {
			s.Fatalf("a page of %d has %d sessions, nil: %v", size, len(page), page == nil)
		}
		for _, r := range page {
			ids = append(ids, r.ID)
		}
		if int64(len(page)) < size {
			return ids
		}
	}
}

// wantPages checks that pages of every size have the same sessions in the same order.
func (s *state) wantPages(name string, f authority.SessionFilter, want ...token.SessionID) {
	s.Helper()
	for _, size := range []int64{1, 2, 3, 7, 100} {
		if got := s.pages(f, size); !slices.Equal(got, want) {
			s.Errorf("%s, pages of %d: %v, want %v", name, size, got, want)
		}
	}
}

// testSessionPages lists the sessions of a user, of a tenant and of all users in pages.
func testSessionPages(t *testing.T, s *state) {
	root := s.userIn("root", 1, 1, authority.Root)
	admin := s.userIn("admin", 1, 2, authority.NetworkAdmin)
	a, idle := s.userIn("a", 1, 1, authority.MailboxUser), s.userIn("idle", 1, 1, authority.MailboxUser)
	b := s.userIn("b", 2, 1, authority.MailboxUser)
	var ofRoot, ofAdmin, ofA, ofB []token.SessionID
	for i := range int64(6) {
		ofA = append(ofA, s.openAt(a, now+10*i))
		ofB = append(ofB, s.openAt(b, now+10*i+1))
	}
	ofRoot = append(ofRoot, s.openAt(root, now), s.openAt(root, now))
	slices.SortFunc(ofRoot, compareIDs) // of the same second
	ofAdmin = append(ofAdmin, s.openAt(admin, now))
	s.openAt(idle, now-3600) // has expired

	// Ended sessions are in no page, whether their rows remain or not.
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ofA[2]))
	ofA = slices.Delete(ofA, 2, 3)
	s.mustEndSessions(b.ID, authority.EndOptions{Except: ofB[3]})
	ofB = append(ofB[3:4:4], s.openAt(b, now+1), s.openAt(b, now+60))
	ofB[0], ofB[1] = ofB[1], ofB[0]
	rotation := authority.Rotation{Session: ofA[0], From: 1, At: now + 100, Lives: oneHour}
	_, rotated, err := s.Rotate(t.Context(), rotation)
	if err != nil || !rotated {
		t.Fatalf("rotated %v, %v", rotated, err)
	}

	at := int64(now)
	network, mailbox := int64(1), int64(1)
	all := slices.Concat(ofRoot, ofAdmin, ofA, ofB)
	s.wantPages("a", authority.SessionFilter{UserID: a.ID, Now: at}, ofA...)
	s.wantPages("b", authority.SessionFilter{UserID: b.ID, Now: at}, ofB...)
	s.wantPages("idle", authority.SessionFilter{UserID: idle.ID, Now: at})
	s.wantPages("no user", authority.SessionFilter{UserID: 99, Now: at})
	s.wantPages("all", authority.SessionFilter{Now: at}, all...)
	s.wantPages("not root", authority.SessionFilter{Now: at, HighestLevel: authority.TechOps}, all[2:]...)
	s.wantPages("network", authority.SessionFilter{Now: at, NetworkID: &network},
		slices.Concat(ofRoot, ofA, ofAdmin)...) // by mailbox
	s.wantPages("mailbox", authority.SessionFilter{
		Now: at, NetworkID: &network, MailboxID: &mailbox, HighestLevel: authority.MailboxAdmin,
	}, ofA...)
	s.wantPages("no network", authority.SessionFilter{Now: at, NetworkID: new(int64(3))})
	s.wantPages("later", authority.SessionFilter{Now: now + 3600 + 50}, ofA[0], ofB[2])
	s.wantPages("from a user", authority.SessionFilter{Now: at, From: authority.UserPosition{UserID: idle.ID}}, ofB...)
	s.wantPages("from a user of a network", authority.SessionFilter{
		Now: at, NetworkID: &network, From: authority.UserPosition{MailboxID: 1, UserID: a.ID},
	}, slices.Concat(ofA, ofAdmin)...)
	page, err := s.Sessions(t.Context(), authority.SessionFilter{Now: at, Offset: 1 << 40, Limit: 500})
	if err != nil || page == nil || len(page) > 0 {
		t.Errorf("a page after the last: %+v, %v", page, err)
	}
	list, err := s.sessionsOf(a, at)
	if err != nil || list[0].Generation != 2 || list[0].IP != "192.0.2.1" || list[0].UserAgent != "test" {
		t.Errorf("the first session is %+v, %v", list[0], err)
	}
}

// testOneSession reads sessions by their ids. An ended or an expired one is not found.
func testOneSession(t *testing.T, s *state) {
	a, b := s.userIn("a", 1, 1, authority.MailboxUser), s.userIn("b", 1, 1, authority.MailboxUser)
	kept, ended := s.openAt(a, now), s.openAt(a, now)
	reset, expired := s.openAt(b, now), s.openAt(a, now-3600)
	s.noError(s.EndSession(t.Context(), authority.Rights{}, ended))
	s.mustEndSessions(b.ID, authority.EndOptions{})
	for name, id := range map[string]token.SessionID{
		"ended": ended, "of a reset user": reset, "expired": expired, "unknown": {250},
	} {
		found, err := s.Sessions(t.Context(), authority.SessionFilter{Session: id, Now: now})
		if err != nil || len(found) > 0 {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	found, err := s.Sessions(t.Context(), authority.SessionFilter{Session: kept, Now: now})
	if err != nil || len(found) != 1 || found[0].ID != kept || found[0].UserID != a.ID || found[0].IP != "192.0.2.1" {
		t.Errorf("the live session is %+v, %v", found, err)
	}
}

func compareIDs(a, b token.SessionID) int { return slices.Compare(a[:], b[:]) }

// testSessionPagesOfNone lists the sessions of an empty store.
func testSessionPagesOfNone(_ *testing.T, s *state) {
	s.wantPages("all", authority.SessionFilter{Now: now})
	s.userIn("a", 1, 1, authority.Root)
	s.wantPages("all", authority.SessionFilter{Now: now})
}

// testEndSessionsCount ends all sessions of a user and counts them.
func testEndSessionsCount(t *testing.T, s *state) {
	u, other := s.newUser("a"), s.newUser("b")
	end := func(except token.SessionID, want int64) {
		t.Helper()
		ended := s.mustEndSessions(u.ID, authority.EndOptions{Except: except, CountAt: now})
		if ended != want {
			t.Errorf("%d sessions ended, want %d", ended, want)
		}
	}
	end(token.SessionID{}, 0)
	var kept token.SessionID
	for range 5 {
		kept = s.openAt(u, now)
	}
	s.openAt(u, now-3600) // has expired
	others := s.openAt(other, now)
	end(kept, 4)
	end(kept, 0)
	end(token.SessionID{}, 1)
	end(kept, 0)
	s.openAt(u, now)
	if ended := s.mustEndSessions(u.ID, authority.EndOptions{}); ended != 0 {
		t.Errorf("without a count, %d sessions ended", ended)
	}
	s.openAt(u, now)
	end(token.SessionID{}, 1)
	if ended := s.mustEndSessions(99, authority.EndOptions{CountAt: now}); ended != 0 {
		t.Errorf("%d sessions of no user ended", ended)
	}
	s.wantPages("other", authority.SessionFilter{UserID: other.ID, Now: now}, others)
}
