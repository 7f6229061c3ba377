package storetest

import (
	"sync"
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
			Actor: b.ID, Address: "192.0.2.1", Request: "r", Detail: "1", Tenant: tenantOf(a),
		},
		{At: now + 1, Kind: audit.Login, User: b.ID, Session: token.SessionID{2}, Detail: "2"},
		{At: now + 3, Kind: audit.Logout, User: a.ID, Session: token.SessionID{1}, Detail: "3", Tenant: tenantOf(a)},
	}
	s.noError(s.AddEvents(t.Context(), all[:2]))
	s.noError(s.AddEvents(t.Context(), all[2:]))
	s.reopen()
	all[2].Tenant = tenantOf(b) // from the user's row
	network1, network2 := new(int64(1)), new(int64(2))
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
		{filter: audit.Filter{Limit: 9, NetworkID: network1}, want: "321"},
		{filter: audit.Filter{Limit: 9, NetworkID: network1, MailboxID: &b.MailboxID}, want: "2"},
		{filter: audit.Filter{Limit: 9, NetworkID: network2}, want: ""},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.MailboxAdmin)}, want: "3210"},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.MailboxUser)}, want: "310"},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.General)}, want: "0"},
		{filter: audit.Filter{Limit: 9, HighestLevel: uint8(authority.MailboxUser), NetworkID: network1}, want: "31"},
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

// testEventsBefore reads backward from each event, also among events of the same second.
func testEventsBefore(t *testing.T, s *state) {
	a := s.newUser("a")
	for i, at := range []int64{now, now + 1, now + 1, now + 1, now + 2} {
		e := audit.Event{At: at, Kind: audit.Login, User: a.ID, Detail: string(rune('0' + i))}
		s.noError(s.AddEvents(t.Context(), []audit.Event{e}))
	}
	for _, size := range []int64{1, 2, 3, 9} {
		f := audit.Filter{User: a.ID, Kind: audit.Login, Limit: size}
		details := ""
		for {
			events, err := s.Events(t.Context(), f)
			s.noError(err)
			for _, e := range events {
				details += e.Detail
				f.Before = &audit.Position{At: e.At, ID: e.ID}
			}
			if int64(len(events)) < size {
				break
			}
		}
		if details != "43210" {
			t.Errorf("pages of %d: %q, want 43210", size, details)
		}
	}
}

// testEventsAfter reads forward from each event.
func testEventsAfter(t *testing.T, s *state) {
	a := s.newUser("a")
	for i, kind := range []audit.Kind{audit.Started, audit.Login, audit.Logout, audit.Login} {
		e := audit.Event{At: now - int64(i), Kind: kind, User: a.ID, Detail: string(rune('0' + i))}
		s.noError(s.AddEvents(t.Context(), []audit.Event{e}))
	}
	after := func(f audit.Filter, id int64) (details string, last int64) {
		t.Helper()
		f.After, last = &id, id
		events, err := s.Events(t.Context(), f)
		s.noError(err)
		for _, e := range events {
			details += e.Detail
			last = e.ID
		}
		return details, last
	}
	details, second := after(audit.Filter{Limit: 2}, 0)
	rest, last := after(audit.Filter{Limit: 9}, second)
	none, _ := after(audit.Filter{Limit: 9}, last)
	if details != "01" || rest != "23" || none != "" {
		t.Errorf("events %q, then %q, then %q; want 01, 23 and none", details, rest, none)
	}
	if logins, _ := after(audit.Filter{Limit: 9, Kind: audit.Login, User: a.ID}, 0); logins != "13" {
		t.Errorf("sign-ins %q, want 13", logins)
	}
}

// testEventsOrder adds events from many callers. A reader must never see an event after one with a higher id.
func testEventsOrder(t *testing.T, s *state) {
	const writers, batches = 8, 20
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range batches {
				events := []audit.Event{{At: now, Kind: audit.Started}, {At: now, Kind: audit.Started}}
				if err := s.AddEvents(t.Context(), events); err != nil {
					t.Error(err)
				}
			}
		})
	}
	read, last := 0, int64(0)
	for read < 2*writers*batches && !t.Failed() {
		events, err := s.Events(t.Context(), audit.Filter{After: &last, Limit: 7})
		s.noError(err)
		read += len(events)
		if len(events) > 0 {
			last = events[len(events)-1].ID
		}
		all, err := s.Events(t.Context(), audit.Filter{After: new(int64), Limit: 1000})
		s.noError(err)
		if n := len(all); n > 0 && all[n-1].ID == last && n != read {
			t.Fatalf("the reader has %d of %d events", read, n)
		}
	}
	group.Wait()
}

// testEventsOfMovedUser moves a user. The events from before belong to the tenant that the user had at that time.
func testEventsOfMovedUser(t *testing.T, s *state) {
	a := s.newUser("a")
	add := func(e audit.Event) {
		t.Helper()
		e.At, e.User = now, a.ID
		s.noError(s.AddEvents(t.Context(), []audit.Event{e}))
	}
	add(audit.Event{Kind: audit.Login, Detail: "0"})
	network := int64(7)
	moved, err := s.UpdateUser(t.Context(), authority.Rights{}, a.ID, authority.UserChange{NetworkID: &network})
	s.noError(err)
	add(audit.Event{Kind: audit.Login, Detail: "1"})
	add(audit.Event{Kind: audit.Login, Detail: "2", Tenant: tenantOf(a)}) // recorded before the move, stored later
	for networkID, want := range map[int64]string{a.NetworkID: "20", moved.NetworkID: "1"} {
		events, err := s.Events(t.Context(), audit.Filter{Limit: 9, NetworkID: &networkID})
		s.noError(err)
		got := ""
		for _, e := range events {
			got += e.Detail
		}
		if got != want {
			t.Errorf("network %d has the events %q, want %q", networkID, got, want)
		}
	}
}

func tenantOf(u *authority.User) audit.Tenant {
	return audit.Tenant{NetworkID: u.NetworkID, MailboxID: u.MailboxID, Known: true}
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
