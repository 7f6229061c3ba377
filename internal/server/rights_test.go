package server_test

import (
	"fmt"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// TestMaxAPIKeys checks that a user cannot fill the store with API keys.
func TestMaxAPIKeys(t *testing.T) {
	b := &browser{t, pawltest.New(t)} // without the OpenAPI check, because it would make a thousand calls slow
	body, key := fmt.Sprintf(`{"userId":%d,"visibility":"Shared"}`, pawltest.UserID), apiKey(b.APIKey)
	for range 999 { // beside the primary API key
		b.expect(200, "", "POST", "/v2/keys/create", body, key)
	}
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/keys/create", body, key)
	b.expect(200, "", "DELETE", "/v2/keys", `{"keyId":7}`, key)
	b.expect(200, "", "POST", "/v2/keys/create", body, key)
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/keys/create", body, key)
}

// TestRights makes calls at the limits of each level. The calls run in order, because some of them change users.
func TestRights(t *testing.T) {
	b := start(t)
	keys, ids := map[string]string{}, map[string]int64{}
	for _, level := range []string{"TechOps", "NetworkAdmin", "NetworkUser", "MailboxAdmin", "MailboxUser", "General"} {
		key, _ := b.addUser(level+"@x.example", level, 7, 70)
		keys[level] = apiKey(key)
		ids[level] = data[api.User](b, "GET", "/v2/users/me", "", keys[level]).UserID
	}
	try := func(status int, level, method, path, body string) {
		t.Helper()
		resp, text := b.send(method, path, body, keys[level])
		if resp.StatusCode != status {
			t.Errorf("%s: %s %s %s: %d %s, want %d", level, method, path, body, resp.StatusCode, text, status)
		}
	}
	create := func(login, level string, network, mailbox int) string {
		return fmt.Sprintf(`{"login":%q,"email":"n@x.example","password":"An0ther$ecret","authLevel":%q,`+
			`"networkId":%d,"mailboxId":%d}`, login, level, network, mailbox)
	}
	at := func(path, level string) string { return fmt.Sprintf("%s/%d", path, ids[level]) }
	with := func(level, field string) string { return fmt.Sprintf(`{"userId":%d,%s}`, ids[level], field) }

	try(403, "MailboxUser", "POST", "/v2/users", create("a", "General", 7, 70))
	try(403, "NetworkUser", "POST", "/v2/users", create("a", "General", 7, 70))
	try(403, "MailboxAdmin", "POST", "/v2/users", create("a", "General", 7, 71))
	try(403, "MailboxAdmin", "POST", "/v2/users", create("a", "NetworkUser", 7, 70))
	try(200, "MailboxAdmin", "POST", "/v2/users", create("a", "General", 7, 70))
	try(200, "NetworkAdmin", "POST", "/v2/users", create("b", "NetworkAdmin", 7, 99))
	try(403, "NetworkAdmin", "POST", "/v2/users", create("c", "General", 8, 70))
	try(403, "NetworkAdmin", "POST", "/v2/users", create("c", "NetOps", 7, 70))
	try(200, "TechOps", "POST", "/v2/users", create("d", "NetOps", 8, 70))
	try(403, "TechOps", "POST", "/v2/users", create("e", "Root", 8, 70))
	try(403, "MailboxUser", "GET", at("/v2/users", "General"), "")
	try(200, "MailboxUser", "GET", at("/v2/users", "MailboxUser"), "")
	try(200, "MailboxAdmin", "GET", at("/v2/users", "General"), "")
	try(404, "MailboxAdmin", "GET", "/v2/users/4821", "")
	try(404, "MailboxAdmin", "GET", "/v2/users/999999", "")
	try(403, "MailboxAdmin", "PUT", "/v2/users", with("NetworkAdmin", `"firstName":"x"`))
	try(403, "MailboxAdmin", "POST", at("/v2/users/key-generate", "TechOps"), "")
	try(403, "MailboxAdmin", "POST", at("/v2/users/reset", "TechOps"), "")
	try(403, "MailboxAdmin", "POST", "/v2/users/password", with("General", `"newPassword":"An0ther$ecret2"`))
	try(200, "NetworkAdmin", "POST", "/v2/users/password", with("General", `"newPassword":"An0ther$ecret2"`))
	try(403, "NetworkAdmin", "POST", "/v2/users/role", with("General", `"authLevel":"TechOps"`))
	try(200, "NetworkAdmin", "POST", "/v2/users/role", with("General", `"authLevel":"TPUser"`))
	try(403, "NetworkAdmin", "POST", "/v2/users/set-network-mailbox", with("General", `"networkId":8`))
	try(200, "NetworkAdmin", "POST", "/v2/users/set-network-mailbox", with("General", `"mailboxId":71`))
	try(404, "MailboxAdmin", "GET", at("/v2/users", "General"), "")
	try(403, "General", "PUT", "/v2/users", with("General", `"status":"Suspended"`))
	try(200, "General", "PUT", "/v2/users", with("General", `"firstName":"Gen"`))
	try(403, "General", "POST", "/v2/users/list", `{}`)
	try(403, "General", "POST", "/v2/auth/sessions", `{"userId":4821}`)
	try(403, "General", "POST", "/v2/keys/list", `{"userId":4821}`)
	try(404, "General", "DELETE", "/v2/keys", `{"keyId":1}`)
	try(403, "NetworkAdmin", "POST", "/v2/users/list", `{"networkId":8}`)
	try(403, "NetworkAdmin", "DELETE", at("/v2/users", "NetworkAdmin"), "")
	try(200, "NetworkAdmin", "DELETE", at("/v2/users", "General"), "")
}
