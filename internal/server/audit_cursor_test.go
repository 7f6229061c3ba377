package server_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// forward reads all events for a query with a cursor, a few at a time, oldest first.
func (b *browser) forward(query string, credentials string) (events []api.Event) {
	b.Helper()
	after := int64(0)
	for {
		path := fmt.Sprintf("/v2/audit?recordsPerPage=3&after=%d&%s", after, query)
		page := data[[]api.Event](b, "GET", path, "", credentials)
		if len(page) == 0 {
			return events
		}
		events = append(events, page...)
		after = page[len(page)-1].EventID
	}
}

// TestAuditCursor reads the audit forward, and finds the same events as by page, also while new events come.
func TestAuditCursor(t *testing.T) {
	b := start(t)
	for range 4 {
		b.login()
		b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", credentials(pawltest.Login, "wrong"))
	}
	admin := b.admin()
	for _, query := range []string{"", "kind=login", "userId=4821&kind=loginFailed"} {
		if got, want := b.forward(query, admin), b.audit(query, admin); len(want) < 4 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nwant %+v", query, got, want)
		}
	}
	all := b.forward("", admin)
	last := all[len(all)-1].EventID
	b.login()
	path := fmt.Sprintf("/v2/audit?after=%d", last)
	news := data[[]api.Event](b, "GET", path, "", admin)
	if len(news) != 1 || news[0].Kind != api.EventLogin || news[0].EventID <= last {
		t.Errorf("after %d: %+v, want one sign-in", last, news)
	}
	for _, query := range []string{
		"after=-1", "after=x", "after=", "after=9223372036854775808", "after=1&pageNo=2", "after=1&after=2",
		"pageNo=202&recordsPerPage=500", "sessionId=AAAAAAAAAAAAAAAAAAAAAA",
	} {
		b.expect(400, api.CodeInvalidParameter, "GET", "/v2/audit?"+query, "", admin)
	}
}

// TestAuditOfMovedUser moves a user to another network. An administrator of either network sees the events of the time
// in that network, and none of the other. An administrator of every network sees all.
func TestAuditOfMovedUser(t *testing.T) {
	b := start(t)
	before, _ := b.addUser("before@example.com", "NetworkAdmin", 7, 1)
	after, _ := b.addUser("after@example.com", "NetworkAdmin", 8, 1)
	mailbox, _ := b.addUser("mailbox@example.com", "MailboxAdmin", 8, 2)
	key, token := b.addUser("ada@example.com", "MailboxUser", 7, 1)
	id := data[api.User](b, "GET", "/v2/users/me", "", apiKey(key)).UserID
	signInAndFail := func() {
		t.Helper()
		b.expect(200, "", "POST", "/v2/auth/login", credentials("ada@example.com", pawltest.Password))
		b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", credentials("ada@example.com", "wrong"))
	}
	signInAndFail()
	superseded := token
	token = b.refresh(200, superseded)
	b.refresh(401, superseded)
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(token))
	move := fmt.Sprintf(`{"userId":%d,"networkId":8,"mailboxId":2}`, id)
	b.expect(200, "", "POST", "/v2/users/set-network-mailbox", move, b.admin())
	signInAndFail()
	b.expect(200, "", "POST", fmt.Sprintf("/v2/users/reset/%d", id), "", b.admin())

	kinds := func(credentials string) (kinds []api.EventKind) {
		t.Helper()
		query := fmt.Sprintf("userId=%d", id)
		events := b.audit(query, credentials)
		if forward := b.forward(query, credentials); !reflect.DeepEqual(forward, events) {
			t.Errorf("forward %+v, by page %+v", forward, events)
		}
		for _, e := range events {
			kinds = append(kinds, e.Kind)
		}
		return kinds
	}
	there := []api.EventKind{
		api.EventUserCreated, api.EventAPIKeyCreated, api.EventLogin, api.EventLogin, api.EventLoginFailed,
		api.EventRefreshRefused, api.EventLogout,
	}
	here := []api.EventKind{api.EventTenantChanged, api.EventLogin, api.EventLoginFailed, api.EventSessionsReset}
	for _, test := range []struct {
		who, credentials string
		want             []api.EventKind
	}{
		{who: "the admin of the first network", credentials: apiKey(before), want: there},
		{who: "the admin of the second network", credentials: apiKey(after), want: here},
		{who: "the admin of the second mailbox", credentials: apiKey(mailbox), want: here},
		{who: "Root", credentials: b.admin(), want: slices.Concat(there, here)},
	} {
		if got := kinds(test.credentials); !slices.Equal(got, test.want) {
			t.Errorf("%s sees %v, want %v", test.who, got, test.want)
		}
	}
}
