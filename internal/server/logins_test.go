package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// createBody returns the body to create a user with a login.
func createBody(login string) string {
	return fmt.Sprintf(`{"login":%q,"email":"ada@example.com","password":%q}`, login, pawltest.Password)
}

// TestPreparedLogins checks that two spellings of one login are one user: the second one is a duplicate, signs in, and
// has the failure counter of the first.
func TestPreparedLogins(t *testing.T) {
	for name, pair := range map[string][2]string{
		"case":              {"Grace@example.com", "gRACE@EXAMPLE.COM"},
		"final sigma":       {"ΟΔΥΣΣΕΥΣ", "οδυσσευς"},
		"another sigma":     {"οδυσσευς", "οδυσσευσ"},
		"full width":        {"ｇｒａｃｅ@example.com", "grace@example.com"},
		"decomposed":        {"zoe\u0308", "zo\u00eb"},
		"composed":          {"ZO\u00cb", "zoe\u0308"},
		"white space":       {" grace@example.com\t", "grace@example.com"},
		"other white space": {"grace@example.com", "\u2003grace@example.com\u00a0"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, trusting)
			user := data[api.User](b, "POST", "/v2/users", createBody(pair[0]), b.admin())
			if want := strings.TrimSpace(pair[0]); user.Login != want {
				t.Errorf("the login is %q, want %q", user.Login, want)
			}
			for _, login := range pair {
				b.expect(400, api.CodeDuplicateObject, "POST", "/v2/users", createBody(login), b.admin())
				token := data[api.Token](b, "POST", "/v2/auth/login", credentials(login, pawltest.Password))
				if token.UserID != user.UserID {
					t.Errorf("%q signs in user %d, want %d", login, token.UserID, user.UserID)
				}
				found := data[[]api.User](b, "POST", "/v2/users/by-name", fmt.Sprintf(`{"login":%q}`, login), b.admin())
				if len(found) != 1 || found[0].UserID != user.UserID {
					t.Errorf("%q finds %+v, want user %d", login, found, user.UserID)
				}
			}
			const attacker = "198.51.100.7"
			for range 5 {
				b.try(401, pair[0], "wrong", attacker)
			}
			b.try(429, pair[1], pawltest.Password, attacker)
		})
	}
}

// TestLoginsNotPermitted checks that a login without a prepared form is rejected on creation, with the field in the
// error, and is an unknown login at sign-in.
func TestLoginsNotPermitted(t *testing.T) {
	b := start(t)
	_, unknown := b.send("POST", "/v2/auth/login", credentials("nobody", pawltest.Password))
	for name, login := range map[string]string{
		"white space": " \t", "a ligature": "ﬁne", "an emoji": "ada🔑", "mixed directions": "אa1א",
		"a zero-width space": "ada\u200b", "a control character": "ada\u0085x",
	} {
		resp, text := b.send("POST", "/v2/users", createBody(login), b.admin())
		if resp.StatusCode != 400 || !strings.Contains(text, `"message":"login `) {
			t.Errorf("creation with %s: %d %s, want 400 that names login", name, resp.StatusCode, text)
		}
		resp, text = b.send("POST", "/v2/auth/login", credentials(login, pawltest.Password))
		if resp.StatusCode != 401 || text != unknown {
			t.Errorf("sign-in with %s: %d %s, want %s", name, resp.StatusCode, text, unknown)
		}
	}
}
