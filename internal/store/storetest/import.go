package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/userimport"
)

func imported(login string, id int64) authority.UserWithHash {
	return authority.UserWithHash{PasswordHash: "foreign", User: authority.User{ID: id, Login: login, Email: login + "@example.com", FirstName: "F", LastName: "L",
		Tenant: authority.Tenant{NetworkID: 3, MailboxID: 4}, Level: authority.NetworkUser, Status: authority.Suspended, Created: now - 5}}
}

func (s *state) imports(users ...authority.UserWithHash) []userimport.Imported {
	s.Helper()
	found, err := s.ImportUsers(s.Context(), users, audit.Event{At: now, Kind: audit.UserCreated, Detail: "imported"})
	s.ok(err)
	return found
}

func testImportUsers(t *testing.T, s *state) {
	there := s.user("There")
	users := []authority.UserWithHash{imported("Ada", 0), imported("tHERE", 5000), imported("Bob", 70), imported("Eve", there.ID)}
	first := s.imports(users...)
	ada, bob := first[0], first[2]
	for i, want := range []bool{true, false, true, false} {
		if first[i].Added != want {
			t.Errorf("%s: added %v", users[i].Login, first[i].Added)
		}
	}
	users[0].ID = ada.ID
	if ada.UserWithHash != users[0] || bob.UserWithHash != users[2] || ada.ID == there.ID {
		t.Errorf("added %+v and %+v, want %+v and %+v", ada, bob, users[0], users[2])
	}
	if ada.ID > 100 {
		t.Errorf("Ada is %d: the id of one who was left out counts", ada.ID)
	}
	if first[1].User != *there || first[1].PasswordHash != "hash" || first[3].ID != 0 {
		t.Errorf("there are %+v and %+v", first[1], first[3])
	}
	s.ok(s.SetPassword(t.Context(), bob.ID, authority.PasswordChange{Hash: "ours"}))
	s.ok(s.Close())
	s.Store = s.open()
	bob.PasswordHash = "ours"
	for i, want := range []userimport.Imported{ada, first[1], bob, {}} {
		want.Added = false
		if again := s.imports(users[i])[0]; again != want {
			t.Errorf("again %+v, want %+v", again, want)
		}
	}
	if next := s.user("next"); next.ID != max(ada.ID, bob.ID)+1 { // none was used up
		t.Errorf("the next user is %d, after %d and %d", next.ID, ada.ID, bob.ID)
	}
	events, err := s.Events(t.Context(), audit.Filter{Limit: 9})
	if s.ok(err); len(events) != 2 || events[0].User != bob.ID || events[1].User != ada.ID || events[0].Detail != "imported" || events[0].At != now {
		t.Errorf("events %+v", events)
	}
}

// testImportRace lets ten imports of the same users come at once, in different
// orders: each user is added once.
func testImportRace(t *testing.T, s *state) {
	const many = 53 // a prime: so each order has each user once
	var added atomic.Int32
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			var users []authority.UserWithHash
			for n := range many {
				users = append(users, imported(fmt.Sprint("u", (n*(2*i+1)+i)%many), 0))
			}
			found, err := s.ImportUsers(t.Context(), users, audit.Event{At: now, Kind: audit.UserCreated})
			if err != nil {
				t.Error(err)
			}
			for n, f := range found {
				if f.Login != users[n].Login {
					t.Errorf("%s: found %+v", users[n].Login, f)
				}
				if f.Added {
					added.Add(1)
				}
			}
		})
	}
	group.Wait()
	if added.Load() != many {
		t.Errorf("%d were added, want %d", added.Load(), many)
	}
}
