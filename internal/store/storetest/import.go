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

// importedUser returns a user to import. An id of 0 lets the store assign one.
func importedUser(login string, id int64) authority.UserWithHash {
	return authority.UserWithHash{PasswordHash: "foreign", User: authority.User{
		ID: id, Login: login, Email: login + "@example.com", FirstName: "F", LastName: "L",
		Tenant: authority.Tenant{NetworkID: 3, MailboxID: 4},
		Level:  authority.NetworkUser, Status: authority.Suspended, Created: now - 5,
	}}
}

func (s *state) importUsers(users ...authority.UserWithHash) []userimport.Imported {
	s.Helper()
	event := audit.Event{At: now, Kind: audit.UserCreated, Detail: "imported"}
	results, err := s.ImportUsers(s.Context(), users, event)
	s.noError(err)
	return results
}

// testImportUsers imports new and existing users, and imports them again after the store was closed and opened.
func testImportUsers(t *testing.T, s *state) {
	existing := s.newUser("Existing")
	users := []authority.UserWithHash{
		importedUser("Ada", 0), importedUser("eXISTING", 5000),
		importedUser("Bob", 70), importedUser("Eve", existing.ID),
	}
	results := s.importUsers(users...)
	ada, bob := results[0], results[2]
	login, id := results[1], results[3]
	for i, want := range []bool{true, false, true, false} {
		if results[i].Added != want {
			t.Errorf("%s: added %v, want %v", users[i].Login, results[i].Added, want)
		}
	}
	users[0].ID = ada.ID
	if ada.UserWithHash != users[0] || bob.UserWithHash != users[2] || ada.ID == existing.ID {
		t.Errorf("added %+v and %+v, want %+v and %+v", ada, bob, users[0], users[2])
	}
	if ada.ID > 100 {
		t.Errorf("Ada has id %d: the id of a user that was not added counts", ada.ID)
	}
	if login.User != *existing || login.PasswordHash != "hash" {
		t.Errorf("for an existing login the result is %+v, want %+v", login, existing)
	}
	if id.ID != 0 {
		t.Errorf("for an existing id the result is %+v, want no user", id)
	}
	s.noError(s.SetPassword(t.Context(), authority.Rights{}, bob.ID, authority.PasswordChange{Hash: "ours"}))
	s.reopen()
	bob.PasswordHash = "ours"
	for i, want := range []userimport.Imported{ada, login, bob, {}} {
		want.Added = false
		if again := s.importUsers(users[i])[0]; again != want {
			t.Errorf("%s again: %+v, want %+v", users[i].Login, again, want)
		}
	}
	if next, want := s.newUser("next"), max(ada.ID, bob.ID)+1; next.ID != want {
		t.Errorf("the next user has id %d, want %d, because no id may be skipped", next.ID, want)
	}
	events, err := s.Events(t.Context(), audit.Filter{Limit: 9})
	s.noError(err)
	if len(events) != 2 || events[0].User != bob.ID || events[1].User != ada.ID {
		t.Fatalf("events %+v, want one for each user that was added", events)
	}
	if events[0].Detail != "imported" || events[0].At != now {
		t.Errorf("event %+v, want the detail and the time of the import", events[0])
	}
}

// testImportRace lets ten imports of the same users run at the same time, each in another order. Each user must be
// added once.
func testImportRace(t *testing.T, s *state) {
	const count = 53 // a prime, so that each order below has each user once
	var added atomic.Int32
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			var users []authority.UserWithHash
			for n := range count {
				users = append(users, importedUser(fmt.Sprint("u", (n*(2*i+1)+i)%count), 0))
			}
			results, err := s.ImportUsers(t.Context(), users, audit.Event{At: now, Kind: audit.UserCreated})
			if err != nil {
				t.Error(err)
			}
			for n, result := range results {
				if result.Login != users[n].Login {
					t.Errorf("the result for %s is %+v", users[n].Login, result)
				}
				if result.Added {
					added.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := added.Load(); n != count {
		t.Errorf("%d users were added, want %d", n, count)
	}
}
