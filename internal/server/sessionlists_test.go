package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// sessionIDs returns the ids of the sessions in the response to a request.
func (b *browser) sessionIDs(body string, headers ...string) (ids []string) {
	b.Helper()
	for _, session := range data[[]api.Session](b, "POST", "/v2/auth/sessions", body, headers...) {
		ids = append(ids, session.SessionID)
	}
	return ids
}

// TestSessionPages lists the sessions of a user in pages. A page is the same before and after refreshes, and a sign-in
// comes last.
func TestSessionPages(t *testing.T) {
	b := start(t)
	var all []string
	token := ""
	for range 7 {
		token = b.login()
		all = b.sessionIDs(`{}`, bearer(token))
		b.Clock.Add(time.Second)
	}
	if len(all) != 7 {
		t.Fatalf("%d sessions, want 7", len(all))
	}
	b.refresh(200, token)
	for _, size := range []int{1, 3, 7, 500} {
		var got []string
		for page := 1; ; page++ {
			body := fmt.Sprintf(`{"userId":%d,"pageNo":%d,"recordsPerPage":%d}`, pawltest.UserID, page, size)
			ids := b.sessionIDs(body, b.admin())
			got = append(got, ids...)
			if len(ids) < size {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d: %v, want %v", size, got, all)
		}
	}
	for range 100 {
		b.login()
	}
	if ids := b.sessionIDs(`{}`, apiKey(b.APIKey)); len(ids) != 100 || !slices.Equal(ids[:7], all) {
		t.Errorf("the first page has %d sessions, want 100 that begin with %v: %v", len(ids), all, ids)
	}
	for _, body := range []string{
		`{"pageNo":0}`, `{"pageNo":-1}`, `{"pageNo":9223372036854775807}`, `{"recordsPerPage":0}`,
		`{"recordsPerPage":501}`, `{"all":true,"userId":4821}`, `{"pageNo":"1"}`, `{"all":1}`,
	} {
		b.expect(400, api.CodeInvalidParameter, "POST", "/v2/auth/sessions", body, b.admin())
	}
}

// TestAllSessions checks that admins list the sessions of the users that they administer and that are not above them,
// and that other users do not.
func TestAllSessions(t *testing.T) {
	b := start(t)
	b.Clock.Add(time.Second)
	users := []struct {
		login, level     string
		network, mailbox int
		sees             string // the users whose sessions this user lists
	}{
		{login: "root", level: "Root", network: 7, mailbox: 70,
			sees: "root netops admin7 box70 user70 user71 user72 admin8"},
		{login: "netops", level: "NetOps", network: 7, mailbox: 70,
			sees: "netops admin7 box70 user70 user71 user72 admin8"},
		{login: "admin7", level: "NetworkAdmin", network: 7, mailbox: 71, sees: "admin7 box70 user70 user71 user72"},
		{login: "box70", level: "MailboxAdmin", network: 7, mailbox: 70, sees: "box70 user70"},
		{login: "user70", level: "MailboxUser", network: 7, mailbox: 70},
		{login: "user71", level: "NetworkUser", network: 7, mailbox: 71},
		{login: "user72", level: "MailboxUser", network: 7, mailbox: 72},
		{login: "admin8", level: "NetworkAdmin", network: 8, mailbox: 70, sees: "admin8"},
	}
	logins, keys := map[int64]string{}, map[string]string{}
	for _, u := range users {
		key, _ := b.addUser(u.login+"@x.example", u.level, u.network, u.mailbox)
		keys[u.login] = apiKey(key)
		logins[data[api.User](b, "GET", "/v2/users/me", "", keys[u.login]).UserID] = u.login
	}
	for _, u := range users {
		if u.sees == "" {
			b.expect(403, api.CodeAccessDenied, "POST", "/v2/auth/sessions", `{"all":true}`, keys[u.login])
			continue
		}
		var seen []string
		for _, session := range data[[]api.Session](b, "POST", "/v2/auth/sessions", `{"all":true}`, keys[u.login]) {
			seen = append(seen, logins[session.UserID])
		}
		want := strings.Fields(u.sees)
		slices.Sort(seen)
		slices.Sort(want)
		if !slices.Equal(seen, want) {
			t.Errorf("%s lists the sessions of %v, want %v", u.login, seen, want)
		}
	}
}

// TestEndOwnSessions ends the sessions of the caller, with and without the current one.
func TestEndOwnSessions(t *testing.T) {
	b := start(t)
	end := func(body string, want int64, headers ...string) {
		t.Helper()
		if got := data[int64](b, "POST", "/v2/auth/sessions/end-all", body, headers...); got != want {
			t.Errorf("%d sessions ended, want %d", got, want)
		}
	}
	_, other := b.addUser("other@x.example", "MailboxUser", 1, 101)
	first, second := b.login(), b.login()
	current := b.login()
	end(`{"exceptCurrent":true}`, 2, bearer(current))
	b.session(401, first)
	b.session(401, second)
	current = b.refresh(200, current)
	b.login()
	end(`{"exceptCurrent":true}`, 2, apiKey(b.APIKey)) // an API key has no current session
	b.session(401, current)
	current = b.login()
	b.login()
	end("", 2, bearer(current))
	b.session(401, current)
	b.expect(401, api.CodeInvalidSession, "POST", "/v2/auth/sessions/end-all", "", bearer(current))
	end(`{}`, 0, apiKey(b.APIKey))
	b.session(200, other)

	var details []string
	for _, e := range b.audit(fmt.Sprintf("kind=sessionsReset&userId=%d", pawltest.UserID), b.admin()) {
		details = append(details, e.Detail)
	}
	want := []string{
		"2 sessions, all but the current one", "2 sessions, all but the current one", "2 sessions", "0 sessions",
	}
	if !slices.Equal(details, want) {
		t.Errorf("the events have the details %q, want %q", details, want)
	}
}

// TestResetMe ends the sessions of the caller by the path of the contract.
func TestResetMe(t *testing.T) {
	b := start(t)
	first, second := b.login(), b.login()
	b.expect(200, "", "POST", "/v2/users/reset/me", "", bearer(first))
	b.session(401, first)
	b.session(401, second)
	b.expect(401, api.CodeInvalidSession, "POST", "/v2/users/reset/me", "", bearer(first))
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/users/reset/me", "", apiKey("bad"))
}
