package server_test

import (
	"fmt"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// TestNoSightAbove checks for each pair of admins of one mailbox that an admin sees the sessions, API keys and events
// of the other one only if the other one is not above.
func TestNoSightAbove(t *testing.T) {
	b := start(t)
	levels := []string{"Root", "TechOps", "NetOps", "NetworkAdmin", "MailboxAdmin"} // highest first
	keys, ids := map[string]string{}, map[string]int64{}
	for _, level := range levels {
		key, _ := b.addUser(level+"@x.example", level, 7, 70)
		keys[level] = apiKey(key)
		ids[level] = data[api.User](b, "GET", "/v2/users/me", "", keys[level]).UserID
	}
	for i, caller := range levels {
		for j, target := range levels {
			status, above := 200, j < i
			if above {
				status = 403
			}
			body := fmt.Sprintf(`{"userId":%d}`, ids[target])
			for _, path := range []string{"/v2/auth/sessions", "/v2/keys/list", "/v2/keys/get-key"} {
				resp, text := b.send("POST", path, body, keys[caller])
				if resp.StatusCode != status {
					t.Errorf("%s, %s of %s: %d %s, want %d", caller, path, target, resp.StatusCode, text, status)
				}
			}
			if n := len(b.audit(fmt.Sprintf("userId=%d", ids[target]), keys[caller])); (n == 0) != above {
				t.Errorf("%s sees %d events of %s", caller, n, target)
			}
		}
	}
	b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", credentials("nobody", pawltest.Password))
	for _, level := range levels {
		want := 1
		if level == "NetworkAdmin" || level == "MailboxAdmin" {
			want = 0
		}
		if n := len(b.audit("kind=loginFailed", keys[level])); n != want {
			t.Errorf("%s sees %d failed sign-ins of an unknown login, want %d", level, n, want)
		}
	}
	role := fmt.Sprintf(`{"userId":%d,"authLevel":"MailboxUser"}`, ids["NetworkAdmin"])
	b.expect(200, "", "POST", "/v2/users/role", role, b.admin())
	if n := len(b.audit(fmt.Sprintf("userId=%d", ids["NetworkAdmin"]), keys["MailboxAdmin"])); n == 0 {
		t.Error("the events of a user who was demoted stay hidden")
	}
}
