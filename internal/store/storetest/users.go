package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// testUsers checks the life of a user, and that logins with one prepared form are the same.
func testUsers(t *testing.T, s *state) {
	u, err := s.CreateUser(t.Context(), authority.Rights{}, authority.User{
		ID: 4821, Login: "Ada@Example.com", Level: authority.TechOps, Status: authority.Active,
	}, "hash")
	s.noError(err)
	if u.ID != 4821 {
		t.Errorf("id %d, want 4821", u.ID)
	}
	_, err = s.CreateUser(t.Context(), authority.Rights{}, authority.User{
		Login: "ADA@example.COM", Level: authority.TechOps, Status: authority.Active,
	}, "hash")
	s.wantError(err, fault.ErrDuplicate)
	found, hash, err := s.UserByLogin(t.Context(), "ada@example.com")
	s.noError(err)
	if *found != *u || hash != "hash" {
		t.Errorf("found %+v with hash %q, want %+v", found, hash, u)
	}
	for _, pair := range [][2]string{
		{"ΟΔΥΣΣΕΥΣ", "οδυσσευς"}, {"ｇｒａｃｅ", "grace"}, {"zoe\u0308", "zo\u00eb"}, {" hopper\t", "hopper"},
	} {
		created, err := s.CreateUser(t.Context(), authority.Rights{}, authority.User{
			Login: pair[0], Level: authority.MailboxUser, Status: authority.Active,
		}, "hash")
		s.noError(err)
		_, err = s.CreateUser(t.Context(), authority.Rights{}, authority.User{
			Login: pair[1], Level: authority.MailboxUser, Status: authority.Active,
		}, "hash")
		s.wantError(err, fault.ErrDuplicate)
		if found, _, err := s.UserByLogin(t.Context(), pair[1]); err != nil || *found != *created {
			t.Errorf("%q finds %+v, %v; want %+v", pair[1], found, err, created)
		}
	}
	for _, unknown := range []string{"unknown", "", "a\x00b", "ada@example.com\x00"} {
		_, _, err = s.UserByLogin(t.Context(), unknown)
		s.wantError(err, fault.ErrNotFound)
	}
	want := *u
	want.FirstName = "Ada"
	want.Level = authority.NetOps
	want.NetworkID = 7
	changed, err := s.UpdateUser(t.Context(), authority.Rights{}, u.ID, authority.UserChange{
		FirstName: &want.FirstName, Level: &want.Level, NetworkID: &want.NetworkID,
	})
	s.noError(err)
	if read, err := s.User(t.Context(), u.ID); err != nil || *changed != want || *read != want {
		t.Errorf("changed %+v, read %+v, %v; want %+v", changed, read, err, want)
	}
	_, err = s.User(t.Context(), 99)
	s.wantError(err, fault.ErrNotFound)
	_, err = s.UpdateUser(t.Context(), authority.Rights{}, 99, authority.UserChange{FirstName: &want.FirstName})
	s.wantError(err, fault.ErrNotFound)
}

// testFirstRoot creates the first Root 100 times at once, while others create users. One call may succeed, and none
// does once there is a Root.
func testFirstRoot(t *testing.T, s *state) {
	var group sync.WaitGroup
	var created atomic.Int64
	for i := range 100 { // so that the store has as many connections as it may have
		group.Go(func() {
			u := authority.User{Login: fmt.Sprint("before ", i), Level: authority.NetOps, Status: authority.Active}
			_, err := s.CreateUser(t.Context(), authority.Rights{}, u, "hash")
			s.noError(err)
		})
	}
	group.Wait()
	for i := range 100 {
		group.Go(func() {
			u := authority.User{Login: fmt.Sprint(i), Level: authority.Root, Status: authority.Active}
			if i%10 == 0 {
				u.Level = authority.NetOps
				_, err := s.CreateUser(t.Context(), authority.Rights{}, u, "hash")
				s.noError(err)
				return
			}
			_, err := s.CreateFirstRoot(t.Context(), u, "hash")
			if err == nil {
				created.Add(1)
			} else if !errors.Is(err, fault.ErrHasAdministrator) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	roots, err := s.ListUsers(t.Context(), authority.UserFilter{Level: authority.Root, Limit: 100})
	s.noError(err)
	if len(roots) != 1 || created.Load() != 1 {
		t.Fatalf("there are %d Roots, of %d calls without an error; want 1", len(roots), created.Load())
	}
	_, err = s.CreateFirstRoot(t.Context(), authority.User{Login: roots[0].Login, Level: authority.Root}, "hash")
	s.wantError(err, fault.ErrHasAdministrator)
}

// testListUsers checks the filter and the pages of a list.
func testListUsers(t *testing.T, s *state) {
	for i := range 5 {
		_, err := s.CreateUser(t.Context(), authority.Rights{}, authority.User{
			Login: fmt.Sprint(i), Level: authority.MailboxUser, Status: authority.Active,
			Tenant: authority.Tenant{NetworkID: int64(i % 2), MailboxID: int64(i)},
		}, "hash")
		s.noError(err)
	}
	zero, three := int64(0), int64(3)
	first, _, err := s.UserByLogin(t.Context(), "0")
	s.noError(err)
	tests := []struct {
		filter authority.UserFilter
		want   string // the logins
	}{
		{filter: authority.UserFilter{}, want: ""},
		{filter: authority.UserFilter{Limit: 10}, want: "01234"},
		{filter: authority.UserFilter{Limit: 2, Offset: 2}, want: "23"},
		{filter: authority.UserFilter{Limit: 10, NetworkID: &zero}, want: "024"},
		{filter: authority.UserFilter{Limit: 10, MailboxID: &three}, want: "3"},
		{filter: authority.UserFilter{Limit: 10, Level: authority.Root}, want: ""},
		{filter: authority.UserFilter{Limit: 10, Status: authority.Active}, want: "01234"},
		{filter: authority.UserFilter{Limit: 2, After: first.ID + 1}, want: "23"},
		{filter: authority.UserFilter{Limit: 10, After: first.ID + 1, NetworkID: &zero}, want: "24"},
		{filter: authority.UserFilter{Limit: 10, After: first.ID + 4}, want: ""},
	}
	for _, test := range tests {
		users, err := s.ListUsers(t.Context(), test.filter)
		s.noError(err)
		got := ""
		for _, u := range users {
			got += u.Login
		}
		if got != test.want {
			t.Errorf("%+v lists %q, want %q", test.filter, got, test.want)
		}
	}
}

// testDenseSearch searches among so many users that a store reads them in another way, beside other filters. A user has
// the prefix in one column.
func testDenseSearch(t *testing.T, s *state) {
	const first, many = 1_000_000, authority.DenseSearch + 500
	users := make([]authority.UserWithHash, many)
	for i := range users {
		u := &users[i].User
		*u = authority.User{
			ID: int64(first + i), Login: fmt.Sprintf("l%d", i), Email: "e@example.com", Level: authority.MailboxUser,
			Status: authority.Active, Tenant: authority.Tenant{NetworkID: int64(i % 2), MailboxID: int64(i % 5)},
		}
		switch i % 4 {
		case 0:
			u.FirstName = "zed"
		case 1:
			u.Email = "zed@example.com"
		case 2:
			u.ExternalID = fmt.Sprintf("zed%d", i)
		}
	}
	s.noError(s.WriteUsers(t.Context(), users))
	one, three := int64(1), int64(3)
	for prefix, matches := range map[string]func(i int) bool{
		"l":    func(int) bool { return true },
		"zed":  func(i int) bool { return i%4 < 3 },
		"l249": func(i int) bool { return i == 249 || i >= 2490 && i < 2500 },
		"l25":  func(i int) bool { return i == 25 || i >= 250 && i < 260 },
	} {
		search, err := authority.NewSearch(prefix)
		s.noError(err)
		for _, f := range []authority.UserFilter{
			{}, {NetworkID: &one}, {NetworkID: &one, MailboxID: &three}, {MailboxID: &three}, {After: first + 1200},
			{Offset: 100}, {Level: authority.Root}, {Status: authority.Active, After: first + 2000, NetworkID: &one},
		} {
			f.Search, f.Limit = search, 20
			var want []int64
			for i, u := range users {
				fits := matches(i) && u.ID > f.After && (f.NetworkID == nil || u.NetworkID == *f.NetworkID) &&
					(f.MailboxID == nil || u.MailboxID == *f.MailboxID) && f.Level == 0
				if fits {
					want = append(want, u.ID)
				}
			}
			want = want[min(len(want), int(f.Offset)):]
			want = want[:min(len(want), int(f.Limit))]
			found, err := s.ListUsers(t.Context(), f)
			s.noError(err)
			var got []int64
			for _, u := range found {
				got = append(got, u.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q with %+v finds %v, want %v", prefix, f, got, want)
			}
		}
	}
}

// testSearch checks the columns and the ranges of a search, beside another filter.
func testSearch(t *testing.T, s *state) {
	for i, u := range []authority.User{
		{Login: "Grace", Email: "G.Hopper@example.com", FirstName: "Grace", LastName: "Hopper"},
		{Login: "gracie", FirstName: "Ada", LastName: "Lovelace"},
		{Login: "other", Email: "gz@example.com", FirstName: "Özil", LastName: "\U0002fa1d", ExternalID: "IDP:70"},
	} {
		u.Level, u.Status = authority.MailboxUser, authority.Active
		u.NetworkID = int64(i)
		_, err := s.CreateUser(t.Context(), authority.Rights{}, u, "hash")
		s.noError(err)
	}
	for prefix, want := range map[string]string{
		"g": "Grace gracie other", "gra": "Grace gracie", "GRACE": "Grace", "g.hop": "Grace", "hopper": "Grace",
		"grace hop": "Grace", "grace  ": "Grace", "love": "gracie", "ada love": "gracie", "da": "", "%": "", "_": "",
		"Öz": "other", "\U0002fa1d": "other", "graces": "", "'": "",
		"IDP:7": "other", "IDP:70": "other", "idp:7": "", "IDP:8": "", "": "Grace gracie other",
	} {
		search, err := authority.NewSearch(prefix)
		s.noError(err)
		users, err := s.ListUsers(t.Context(), authority.UserFilter{Search: search, Limit: 9})
		s.noError(err)
		var logins []string
		for _, u := range users {
			logins = append(logins, u.Login)
		}
		if got := strings.Join(logins, " "); got != want {
			t.Errorf("%q finds %q, want %q", prefix, got, want)
		}
	}
	one := int64(1)
	users, err := s.ListUsers(t.Context(), authority.UserFilter{
		Search: authority.Search{Login: "gra", Text: "gra"}, NetworkID: &one, Limit: 9,
	})
	s.noError(err)
	if len(users) != 1 || users[0].Login != "gracie" {
		t.Errorf("in network 1 the search finds %+v, want gracie", users)
	}
}

// testExternalIDs checks that external ids are unique, and that any number of users may have none.
func testExternalIDs(t *testing.T, s *state) {
	create := func(login, externalID string) (*authority.User, error) {
		return s.CreateUser(t.Context(), authority.Rights{}, authority.User{
			Login: login, ExternalID: externalID, Level: authority.MailboxUser, Status: authority.Active,
		}, "")
	}
	change := func(id int64, externalID string) (*authority.User, error) {
		return s.UpdateUser(t.Context(), authority.Rights{}, id, authority.UserChange{ExternalID: &externalID})
	}
	a, err := create("a", "x")
	s.noError(err)
	_, err = create("b", "x")
	s.wantError(err, fault.ErrExternalIDTaken)
	_, err = create("b", "X") // external ids have case
	s.noError(err)
	c, err := create("c", "")
	s.noError(err)
	_, err = create("d", "")
	s.noError(err)
	_, err = change(c.ID, "x")
	s.wantError(err, fault.ErrExternalIDTaken)
	_, err = change(a.ID, "x")
	s.noError(err)
	_, err = change(a.ID, "")
	s.noError(err)
	c, err = change(c.ID, "x")
	s.noError(err)
	s.reopen()
	if found, err := s.UserByExternalID(t.Context(), "x"); err != nil || *found != *c || c.ExternalID != "x" {
		t.Errorf("x finds %+v, %v; want %+v", found, err, c)
	}
	for _, unknown := range []string{"", "y", "x "} {
		_, err = s.UserByExternalID(t.Context(), unknown)
		s.wantError(err, fault.ErrNotFound)
	}
	if _, hash, err := s.UserByLogin(t.Context(), "a"); err != nil || hash != "" {
		t.Errorf("hash %q, %v; want none", hash, err)
	}
}

// testPasswords checks the replacement of a hash, and the end of the user's other sessions with it.
func testPasswords(t *testing.T, s *state) {
	u := s.newUser("a")
	ended, kept := s.newSession(u), s.newSession(u)
	change := authority.PasswordChange{Hash: "new", IfHash: "another"}
	s.wantError(s.SetPassword(t.Context(), authority.Rights{}, u.ID, change), fault.ErrNotFound)
	change.IfHash = "hash"
	s.noError(s.SetPassword(t.Context(), authority.Rights{}, u.ID, change))
	s.wantSession(ended.ID)
	except := authority.EndOptions{Except: kept.ID}
	change = authority.PasswordChange{Hash: "newer", EndSessions: true, EndOptions: except}
	s.noError(s.SetPassword(t.Context(), authority.Rights{}, u.ID, change))
	s.wantNoSession(ended.ID)
	s.wantSession(kept.ID)
	if _, hash, err := s.UserByLogin(t.Context(), "a"); err != nil || hash != "newer" {
		t.Errorf("hash %q, %v; want \"newer\"", hash, err)
	}
	change = authority.PasswordChange{Hash: "x"}
	s.wantError(s.SetPassword(t.Context(), authority.Rights{}, 99, change), fault.ErrNotFound)
}
