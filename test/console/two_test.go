package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/pawltest"
)

// onBothStores runs a test on a server with each store.
func onBothStores(t *testing.T, test func(*testing.T, *pawltest.Server)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, newPawl(t)) })
	t.Run("postgres", func(t *testing.T) {
		cluster := pgtest.Start(t)
		test(t, newPawl(t, pawltest.WithPostgres(cluster.DSN(cluster.Database(t)))))
	})
}

// newAdmin creates an administrator of network 1, and opens a tab in which that person is signed in.
func newAdmin(t *testing.T, pawl *pawltest.Server, login string) (tab, int64) {
	t.Helper()
	const password = "S3cond!admin"
	user, err := adminOf(pawl).CreateUser(t.Context(), api.CreateUserRequest{
		Login: login, Password: password, AuthLevel: api.LevelNetworkAdmin,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := newTab(t, pawl)
	b.signIn(login, password)
	return b, user.UserID
}

// TestDemotedInMidForm lets an administrator open forms, and another one take the rights away before they are sent. The
// forms must have no effect.
func TestDemotedInMidForm(t *testing.T) {
	onBothStores(t, func(t *testing.T, pawl *pawltest.Server) {
		first := asAdmin(t, pawl)
		person := fmt.Sprintf("/people/%d", pawltest.UserID)
		for name, test := range map[string]struct {
			act  func(second string)
			want string // in the page of the second administrator
		}{
			"demoted": {want: "ask an administrator", act: func(second string) {
				first.open(second + "/role")
				first.choose("level", "MailboxUser")
				first.submit()
			}},
			"moved": {want: "not found", act: func(second string) {
				first.open(second + "/role")
				first.replace("network", "2")
				first.submit()
			}},
			"suspended": {want: "Sign in", act: func(second string) {
				first.open(second)
				first.confirm(`a[href$="/suspend"]`)
			}},
		} {
			t.Run(name, func(t *testing.T) {
				second, id := newAdmin(t, pawl, name+"@example.com")
				second.T, first.T = t, t
				second.open(person + "/edit")
				second.replace("lastName", "By "+name)
				test.act(fmt.Sprintf("/people/%d", id))
				second.submit()
				if shown := second.text("main"); !strings.Contains(shown, test.want) {
					t.Errorf("the form shows %q, want %q", shown, test.want)
				}
				user, err := adminOf(pawl).User(t.Context(), pawltest.UserID)
				if err != nil || user.LastName != "Smith" {
					t.Errorf("afterwards the person is %+v, %v", user, err)
				}
			})
		}
	})
}

// TestEditedAtOnce opens the same form twice. Changes of different fields are both kept. If both change one field, the
// second person sees the first change, and can replace it.
func TestEditedAtOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, pawl *pawltest.Server) {
		first := asAdmin(t, pawl)
		second, _ := newAdmin(t, pawl, "second@example.com")
		person := fmt.Sprintf("/people/%d", pawltest.UserID)
		send := func(b tab, field, value, want string) {
			t.Helper()
			b.replace(field, value)
			if got := b.submit(); !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", field, got, want)
			}
		}
		wants := func(email, firstName, lastName string, mailbox int64) {
			t.Helper()
			u, err := adminOf(pawl).User(t.Context(), pawltest.UserID)
			if err != nil || u.Email != email || u.FirstName != firstName || u.LastName != lastName ||
				u.MailboxID != mailbox {
				t.Errorf("the person is %+v, %v", u, err)
			}
		}
		first.open(person + "/edit")
		second.open(person + "/edit")
		send(first, "email", "new@example.com", "The change is saved.")
		second.replace("firstName", "Johanna")
		send(second, "lastName", "Second", "The change is saved.")
		wants("new@example.com", "Johanna", "Second", 101)

		first.open(person + "/edit")
		second.open(person + "/edit")
		send(first, "lastName", "First", "The change is saved.")
		second.replace("firstName", "Jo")
		send(second, "lastName", "Third", `Last name was changed to "First"`)
		wants("new@example.com", "Johanna", "First", 101)
		if got := second.submit(); got != "The change is saved." {
			t.Errorf("again: %q", got)
		}
		wants("new@example.com", "Jo", "Third", 101)

		first.open(person + "/role")
		second.open(person + "/role")
		send(first, "mailbox", "7", "The change is saved.")
		second.choose("level", "MailboxUser")
		if got := second.submit(); got != "The change is saved." {
			t.Errorf("the level: %q", got)
		}
		wants("new@example.com", "Jo", "Third", 7)
	})
}

// TestEndedAtOnce lets two administrators ask to end the same session. The second one must see that it has ended.
func TestEndedAtOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, pawl *pawltest.Server) {
		session, other := signedIn(t, pawl), signedIn(t, pawl)
		first := asAdmin(t, pawl)
		second, _ := newAdmin(t, pawl, "second@example.com")
		const end = "#sessions-table tbody tr:nth-child(1) a[data-ask]"
		for _, b := range []tab{first, second} {
			b.open(fmt.Sprintf("/people/%d", pawltest.UserID))
			b.click(end)
			b.until(`!!document.querySelector("dialog[open] form.ask")`)
		}
		if got := first.submit(); got != "The session has ended." {
			t.Errorf("the first: %q", got)
		}
		second.submit()
		if shown := second.text("main"); !strings.Contains(shown, "Session not found") {
			t.Errorf("the second: %q", shown)
		}
		if live(t, session) == live(t, other) {
			t.Error("one of the two sessions must be live")
		}
	})
}
