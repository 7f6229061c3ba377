package storetest

import (
	"fmt"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

func testEvents(t *testing.T, s *state) {
	here := s.user("a")
	place := authority.Tenant{NetworkID: 1, MailboxID: 9}
	there, err := s.CreateUser(t.Context(), authority.User{Login: "b", Level: authority.MailboxUser, Status: authority.Active, Tenant: place}, "hash")
	s.ok(err)
	all := []audit.Event{
		{At: now, Kind: audit.Started, Detail: "0"},
		{At: now + 1, Kind: audit.Login, User: here.ID, Session: token.SessionID{1}, Caller: here.ID, Address: "192.0.2.1", Request: "r", Detail: "1"},
		{At: now + 1, Kind: audit.Login, User: there.ID, Session: token.SessionID{2}, Detail: "2"},
		{At: now + 3, Kind: audit.Logout, User: here.ID, Session: token.SessionID{1}, Detail: "3"},
	}
	s.ok(s.AddEvents(t.Context(), all[:2]))
	s.ok(s.AddEvents(t.Context(), all[2:]))
	s.ok(s.Close())
	s.Store = s.open()
	one, two, nine := int64(1), int64(2), int64(9)
	for _, c := range []struct {
		filter audit.Filter
		want   string
	}{
		{audit.Filter{Limit: 9}, "3210"}, {audit.Filter{}, ""}, {audit.Filter{Limit: 2, Offset: 1}, "21"},
		{audit.Filter{Limit: 9, User: here.ID}, "31"}, {audit.Filter{Limit: 9, Kind: audit.Login}, "21"},
		{audit.Filter{Limit: 9, Session: token.SessionID{2}}, "2"}, {audit.Filter{Limit: 9, From: now + 1, To: now + 2}, "21"},
		{audit.Filter{Limit: 9, NetworkID: &one}, "321"}, {audit.Filter{Limit: 9, NetworkID: &one, MailboxID: &nine}, "2"},
		{audit.Filter{Limit: 9, NetworkID: &two}, ""},
	} {
		events, err := s.Events(t.Context(), c.filter)
		s.ok(err)
		got, last := "", int64(0)
		for _, e := range events {
			got += e.Detail
			if last != 0 && e.ID >= last {
				t.Errorf("%+v: id %d after %d", c.filter, e.ID, last)
			}
			last = e.ID
			if e.ID = 0; fmt.Sprint(e) != fmt.Sprint(all[e.Detail[0]-'0']) {
				t.Errorf("read %+v, want %+v", e, all[e.Detail[0]-'0'])
			}
		}
		if got != c.want {
			t.Errorf("%+v lists %q, want %q", c.filter, got, c.want)
		}
	}
}

func testEventsSweep(t *testing.T, s *state) {
	for i := range int64(5) {
		s.ok(s.AddEvents(t.Context(), []audit.Event{{At: now + i, Kind: audit.Started}}))
	}
	for _, want := range []int{2, 1, 0} {
		removed, err := s.SweepEvents(t.Context(), now+3, 2)
		if s.ok(err); removed != want {
			t.Errorf("removed %d, want %d", removed, want)
		}
	}
	left, err := s.Events(t.Context(), audit.Filter{Limit: 9})
	if s.ok(err); len(left) != 2 || left[1].At != now+3 {
		t.Errorf("left %+v", left)
	}
}
