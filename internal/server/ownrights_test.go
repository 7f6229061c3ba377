package server_test

import (
	"fmt"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// TestOwnRights checks what callers may not do to themselves: the last active Root keeps the level and the status, no
// caller sets the own password without the current one, and a Session API key creates no key with a longer life.
func TestOwnRights(t *testing.T) {
	b := start(t)
	root := b.admin()
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/users/role",
		fmt.Sprintf(`{"userId":%d,"authLevel":"NetOps"}`, pawltest.AdminID), root)
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/users/password",
		fmt.Sprintf(`{"userId":%d,"newPassword":"N3xt!password"}`, pawltest.AdminID), root)

	second, _ := b.addUser("second@example.com", "Root", 1, 101)
	b.expect(200, "", "POST", "/v2/users/role",
		fmt.Sprintf(`{"userId":%d,"authLevel":"NetOps"}`, pawltest.AdminID), apiKey(second))

	token := b.login()
	bearer := "Authorization: Bearer " + token
	key := data[api.APIKey](b, "POST", "/v2/keys/create",
		fmt.Sprintf(`{"userId":%d,"visibility":"Session"}`, pawltest.UserID), bearer)
	for _, call := range []struct{ path, body string }{
		{"/v2/keys/create", fmt.Sprintf(`{"userId":%d,"visibility":"Private"}`, pawltest.UserID)},
		{fmt.Sprint("/v2/users/key-generate/", pawltest.UserID), ""},
	} {
		b.expect(403, api.CodeAccessDenied, "POST", call.path, call.body, apiKey(key.Key))
		b.expect(200, "", "POST", call.path, call.body, bearer)
	}
}
