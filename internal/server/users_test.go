package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// createUser creates a user with these JSON fields, as root.
func (b *browser) createUser(fields string) api.User {
	b.Helper()
	return data[api.User](b, "POST", "/v2/users", "{"+fields+"}", b.admin())
}

// TestExternalID checks where the external id of a user is accepted and shown, and that it is unique.
func TestExternalID(t *testing.T) {
	b := start(t)
	root := b.admin()
	byName := func(body string) []api.User {
		t.Helper()
		return data[[]api.User](b, "POST", "/v2/users/by-name", body, root)
	}
	ada := b.createUser(`"login":"ada@example.com","externalId":"auth0|Ada"`)
	if ada.ExternalID != "auth0|Ada" {
		t.Errorf("the new user is %+v", ada)
	}
	if got := byName(`{"externalId":"auth0|Ada"}`); len(got) != 1 || got[0] != ada {
		t.Errorf("by the external id: %+v, want %+v", got, ada)
	}
	if got := byName(`{"externalId":"auth0|ada"}`); len(got) != 0 { // external ids have case
		t.Errorf("by another external id: %+v", got)
	}
	for _, bad := range []string{`{}`, `{"login":"ada@example.com","externalId":"auth0|Ada"}`} {
		b.expect(400, api.CodeInvalidParameter, "POST", "/v2/users/by-name", bad, root)
	}
	b.expect(400, api.CodeDuplicateObject, "POST", "/v2/users", `{"login":"eve","externalId":"auth0|Ada"}`, root)
	for _, bad := range []string{strings.Repeat("x", 129), "a\u200bb"} {
		body := fmt.Sprintf(`{"login":"eve","externalId":%q}`, bad)
		if _, text := b.send("POST", "/v2/users", body, root); !strings.Contains(text, `"externalId must have`) {
			t.Errorf("the external id %q: %s", bad, text)
		}
	}

	bob := b.createUser(`"login":"bob@example.com"`)
	update := func(id int64, externalID string) string {
		return fmt.Sprintf(`{"userId":%d,"externalId":%q}`, id, externalID)
	}
	b.expect(400, api.CodeDuplicateObject, "PUT", "/v2/users", update(bob.UserID, "auth0|Ada"), root)
	b.expect(200, "", "PUT", "/v2/users", update(ada.UserID, "auth0|Ada"), root) // it is hers already
	removed := data[api.User](b, "PUT", "/v2/users", update(ada.UserID, ""), root)
	_, text := b.send("GET", fmt.Sprint("/v2/users/", ada.UserID), "", root)
	if removed.ExternalID != "" || strings.Contains(text, "externalId") {
		t.Errorf("after the removal: %+v, %s", removed, text)
	}
	b.expect(200, "", "PUT", "/v2/users", update(bob.UserID, "auth0|Ada"), root)

	user, _ := b.addUser("user@example.com", "MailboxUser", 1, 101)
	me := data[api.User](b, "GET", "/v2/users/me", "", apiKey(user))
	b.expect(403, api.CodeAccessDenied, "PUT", "/v2/users", update(me.UserID, "mine"), apiKey(user))
}

// TestUserWithoutPassword checks that a user without a password gets the response of a wrong password, whatever the
// password, until an administrator sets one.
func TestUserWithoutPassword(t *testing.T) {
	b := start(t)
	user := b.createUser(`"login":"ada"`)
	if user.Email != "" {
		t.Errorf("the user is %+v, want no email", user)
	}
	_, wrong := b.send("POST", "/v2/auth/login", credentials("jsmith@example.com", "wrong"))
	for _, password := range []string{"wrong", pawltest.Password, " "} {
		resp, text := b.send("POST", "/v2/auth/login", credentials("ada", password))
		if resp.StatusCode != 401 || text != wrong {
			t.Errorf("with %q: %d %s, want %s", password, resp.StatusCode, text, wrong)
		}
	}
	key := data[string](b, "POST", fmt.Sprint("/v2/users/key-generate/", user.UserID), "", b.admin())
	body := fmt.Sprintf(`{"currentPassword":"wrong","newPassword":%q}`, pawltest.Password)
	b.expect(401, api.CodeInvalidCredentials, "PUT", "/v2/auth/password", body, apiKey(key))

	body = fmt.Sprintf(`{"userId":%d,"newPassword":%q}`, user.UserID, pawltest.Password)
	b.expect(200, "", "POST", "/v2/users/password", body, b.admin())
	b.expect(200, "", "POST", "/v2/auth/login", credentials("ada", pawltest.Password))
}

// TestZeroTenant checks that 0 is the caller's network or mailbox on creation, every one in a list, and the present one
// in a change, and that loginName is read as login.
func TestZeroTenant(t *testing.T) {
	b := start(t)
	user := b.createUser(`"loginName":"ada","networkId":0,"mailboxId":0`)
	if user.Login != "ada" || user.NetworkID != 1 || user.MailboxID != 101 {
		t.Errorf("the new user is %+v, want that of the caller's network and mailbox", user)
	}
	other := b.createUser(`"login":"bob","networkId":7,"mailboxId":0`)
	if other.NetworkID != 7 || other.MailboxID != 101 {
		t.Errorf("the new user is %+v, want network 7 and the caller's mailbox", other)
	}
	list := data[[]api.User](b, "POST", "/v2/users/list", `{"networkId":0,"mailboxId":0}`, b.admin())
	if len(list) != 4 {
		t.Errorf("the list has %+v, want all 4 users", list)
	}
	list = data[[]api.User](b, "POST", "/v2/users/list", `{"networkId":7,"mailboxId":0}`, b.admin())
	if len(list) != 1 {
		t.Errorf("the list of network 7 has %+v", list)
	}
	for _, path := range []string{"/v2/users/role", "/v2/users/set-network-mailbox"} {
		body := fmt.Sprintf(`{"userId":%d,"authLevel":"NoChange","networkId":0,"mailboxId":55}`, other.UserID)
		if path == "/v2/users/set-network-mailbox" {
			body = strings.Replace(body, `"authLevel":"NoChange",`, "", 1)
		}
		moved := data[api.User](b, "POST", path, body, b.admin())
		if moved.NetworkID != 7 || moved.MailboxID != 55 {
			t.Errorf("%s: the user is %+v, want network 7 and mailbox 55", path, moved)
		}
	}
	found := data[[]api.User](b, "POST", "/v2/users/by-name", `{"loginName":"ADA"}`, b.admin())
	if len(found) != 1 || found[0] != user {
		t.Errorf("by loginName: %+v", found)
	}
}

// TestSearch lists users by prefixes, within the tenant of the caller.
func TestSearch(t *testing.T) {
	b := start(t)
	b.createUser(`"login":"GRACE","email":"Hopper@example.com","firstName":"Grace","lastName":"Hopper"`)
	b.createUser(`"login":"x1","firstName":"Ada","lastName":"Lovelace","networkId":7`)
	key, _ := b.addUser("zed@example.com", "NetworkAdmin", 7, 1)
	for search, want := range map[string]string{
		"grac": "GRACE", "hop": "GRACE", " HOPPER@EX": "GRACE", "grace h": "GRACE", "acegrace": "", "%": "", "_": "",
		"love": "x1", "ada l": "x1", "adal": "", "ｇｒａ": "GRACE", "": "jsmith@example.com GRACE x1 zed@example.com",
	} {
		body := fmt.Sprintf(`{"search":%q,"status":"Active"}`, search)
		var logins []string
		for _, user := range data[[]api.User](b, "POST", "/v2/users/list", body, b.admin()) {
			if user.UserID != pawltest.AdminID {
				logins = append(logins, user.Login)
			}
		}
		if got := strings.Join(logins, " "); got != want {
			t.Errorf("the search %q finds %q, want %q", search, got, want)
		}
	}
	found := data[[]api.User](b, "POST", "/v2/users/list", `{"search":"grace"}`, apiKey(key))
	if len(found) != 0 {
		t.Errorf("an administrator of another network finds %+v", found)
	}
	for _, bad := range []string{strings.Repeat("x", 255), "a\u0007"} {
		body := fmt.Sprintf(`{"search":"%s"}`, strings.ReplaceAll(bad, "\u0007", `\u0007`))
		b.expect(400, api.CodeInvalidParameter, "POST", "/v2/users/list", body, b.admin())
	}
}

// TestSetPasswordRevokes sets the password of a user, who keeps the session unless revokeSessions ends it.
func TestSetPasswordRevokes(t *testing.T) {
	b := start(t)
	for revoke, status := range map[bool]int{false: 200, true: 401} {
		token := b.login()
		body := fmt.Sprintf(`{"userId":%d,"newPassword":%q,"revokeSessions":%t}`,
			pawltest.UserID, pawltest.Password, revoke)
		b.expect(200, "", "POST", "/v2/users/password", body, b.admin())
		b.session(status, token)
		b.refresh(status, token)
	}
}
