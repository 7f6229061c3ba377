package storetest

import (
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

// testEvents checks the filter and the pages of events, after the store was closed and opened.
func testEvents(t *testing.T, s *state) {
	a := s.newUser("a")
	b, err := s.CreateUser(t.Context(), authority.Rights{}, authority.User{
		Login: "b", Level: authority.MailboxAdmin, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 9},
	}, "hash")
	s.noError(err)
	all := []audit.Event{ // the details are the indexes
		{At: now, Kind: audit.Started, Detail: "0"},
		{
			At: now + 1, Kind: audit.Login, User: a.ID, Session: token.SessionID{1}, Caller: a.ID,
			Address: "192.0.2.1", Request: "r", Detail: "1",
		},
		{At: now + 1, Kind: audit.Login, User: b.ID, Session: token.SessionID{2}, Detail: "2"},
		{At: now + 3, Kind: audit.Logout, User: a.ID, Session: token.SessionID{1}, Detail: "3"},
	}
	s.noError(s.AddEvents(t.Context(), all[:2]))
	s.noError(s.AddEvents(t.Context(), all[2:]))
	s.reopen()
	mailbox9 := int64(9)
	network1, network2 := int64(1), int64(2)
	tests := []struct {
		filter audit.Filter
		want   string // the details, newest first
	}{
		{filter: audit.Filter{}, want: ""},
		{filter: audit.Filter{Limit: 9}, want: "3210"},
		{filter: audit.Filter{Limit: 2, Offset: 1}, want: "21"},
		{filter: audit.Filter{Limit: 9, User: a.ID}, want: "31"},
		{filter: audit.Filter{Limit: 9, Kind: audit.Login}, want: "21"},
		{filter: audit.Filter{Limit: 9, Session: token.SessionID{2}}, want: "2"},
		{filter: audit.Filter{Limit: 9, From: now + 1, To: now + 2}, want: "21"},
		{filter: audit.Filter{Limit: 9, NetworkID: &network1}, want: "321"},
		{filter: audit.Filter{Limit: 9, NetworkID: &network1, MailboxID: &mailbox9}, want: "2"},
		{filter: audit.Filter{Limit: 9, NetworkID: &network2}, want: ""},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.MailboxAdmin)}, want: "3210"},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.MailboxUser)}, want: "310"},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.General)}, want: "0"},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.MailboxUser), NetworkID: &network1}, want: "31"},
	}
	for _, test := range tests {
		events, err := s.Events(t.Context(), test.filter)
		s.noError(err)
		got, lastID := "", int64(0)
		for _, e := range events {
			got += e.Detail
			if lastID != 0 && e.ID >= lastID {
				t.Errorf("%+v: id %d follows id %d", test.filter, e.ID, lastID)
			}
			lastID = e.ID
			e.ID = 0
			if want := all[e.Detail[0]-'0']; e != want {
				t.Errorf("%+v: event %+v, want %+v", test.filter, e, want)
			}
		}
		if got != test.want {
			t.Errorf("%+v: events %q, want %q", test.filter, got, test.want)
		}
	}
}

// testEventsSweep removes three of five events in steps of two.
func testEventsSweep(t *testing.T, s *state) {
	for i := range int64(5) {
		s.noError(s.AddEvents(t.Context(), []audit.Event{{At: now + i, Kind: audit.Started}}))
	}
	for _, want := range []int{2, 1, 0} {
		removed, err := s.SweepEvents(t.Context(), now+3, 2)
		s.noError(err)
		if removed != want {
			t.Errorf("%d events were removed, want %d", removed, want)
		}
	}
	kept, err := s.Events(t.Context(), audit.Filter{Limit: 9})
	s.noError(err)
	if len(kept) != 2 || kept[1].At != now+3 {
		t.Errorf("kept %+v, want the last 2", kept)
	}
}
