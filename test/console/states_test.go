package console_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// TestAccessibilityOfStates checks pages in states that TestAccessibility lacks with axe-core: the overview after a
// theft, people who are suspended or removed, notices, a rejected sign-in, and the pages of a plain user, with one that
// the level does not allow.
func TestAccessibilityOfStates(t *testing.T) {
	check := axeCheck(t)
	pawl := newPawl(t)
	const login, password = "plain@example.com", "Pl4in!user"
	steal(t, pawl)
	plain := createUser(t, pawl, api.CreateUserRequest{Login: login, Password: password})
	suspended := createUser(t, pawl, api.CreateUserRequest{Login: "suspended@example.com"})
	removed := createUser(t, pawl, api.CreateUserRequest{Login: "removed@example.com"})
	b := asAdmin(t, pawl)
	account, guest := newTab(t, pawl), newTab(t, pawl)
	account.signIn(login, password)
	b.open(fmt.Sprintf("/people/%d", suspended))
	b.confirm(`a[href$="/suspend"]`)
	b.open(fmt.Sprintf("/people/%d", removed))
	b.confirm(`a[href$="/remove"]`)
	own := fmt.Sprintf("/people/%d", plain)
	for _, scheme := range []string{"light", "dark"} {
		for _, page := range []struct {
			tab
			path string
			has  string // an element
		}{
			{tab: b, path: "", has: ".warning"}, {tab: b, path: "", has: ".bad"},
			{tab: b, path: "/audit", has: ".serious"}, {tab: b, path: "/people", has: ".status-Suspended"},
			{tab: b, path: fmt.Sprintf("/people/%d?done=suspended", suspended), has: ".notice"},
			{tab: b, path: fmt.Sprintf("/people/%d?done=removed", removed), has: ".status-Terminated"},
			{tab: account, path: own, has: "#sessions-table"},
			{tab: account, path: own + "/password", has: "[name=current]"},
			{tab: account, path: "/audit", has: "[role=alert]"},
		} {
			page.prefer(scheme)
			page.open(page.path)
			if !eval[bool](page.tab, fmt.Sprintf(`!!document.querySelector("main %s")`, page.has)) {
				t.Errorf("%s has no %s", page.path, page.has)
			}
			check(page.tab, page.path+" "+scheme)
		}
		guest.prefer(scheme)
		guest.open("/sign-in")
		guest.fill("login", login)
		guest.fill("password", "wrong")
		if got := guest.submit(); got == "" {
			t.Error("a wrong password shows no message")
		}
		check(guest, "rejected sign-in "+scheme)
	}
}

// steal uses a superseded token, which ends its session.
func steal(t *testing.T, pawl *pawltest.Server) {
	t.Helper()
	c := pawl.Client(client.WithRetries(0))
	stolen, err := c.Login(t.Context(), pawltest.Login, pawltest.Password)
	next := stolen
	for range 2 {
		if err == nil {
			next, err = c.Refresh(t.Context(), next.Token)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	pawl.Clock.Add(time.Minute) // so that it is not a repeated request
	if _, err := c.Refresh(t.Context(), stolen.Token); err == nil {
		t.Fatal("a superseded token was accepted")
	}
}

func createUser(t *testing.T, pawl *pawltest.Server, user api.CreateUserRequest) (id int64) {
	t.Helper()
	created, err := adminOf(pawl).CreateUser(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return created.UserID
}
