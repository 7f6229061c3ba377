package server_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// trusting makes the server trust X-Forwarded-For from this machine, so that a test can have many addresses.
var trusting = pawltest.WithConfig(func(c *app.Config) {
	c.Limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
})

// try checks the status of a login from an address, and returns the body and Retry-After.
func (b *browser) try(status int, login, password, from string) string {
	b.Helper()
	resp, text := b.send("POST", "/v2/auth/login", credentials(login, password), "X-Forwarded-For: "+from)
	if resp.StatusCode != status {
		b.Fatalf("%s from %s: %d %s, want %d", login, from, resp.StatusCode, text, status)
	}
	return text + resp.Header.Get("Retry-After")
}

// TestFailedSignIns checks that an address has to wait after five wrong passwords, even with the right one, and that
// the responses for an unknown login are the same to the byte.
func TestFailedSignIns(t *testing.T) {
	b := start(t, trusting)
	const owner, attacker = "192.0.2.1", "198.51.100.7"
	b.try(200, pawltest.Login, pawltest.Password, owner)
	for range 4 {
		b.try(401, pawltest.Login, "wrong", attacker)
		b.try(401, "nobody", "wrong", attacker)
	}
	for _, wait := range []int{1, 2, 4, 8} {
		known := b.try(401, pawltest.Login, "wrong", attacker)
		unknown := b.try(401, "nobody", "wrong", attacker)
		if known != unknown {
			t.Errorf("known %s, unknown %s", known, unknown)
		}
		wrong := b.try(429, pawltest.Login, "wrong", attacker)
		if !strings.Contains(wrong, string(api.CodeRateLimitExceeded)) ||
			!strings.HasSuffix(wrong, "}\n"+strconv.Itoa(wait)) {
			t.Errorf("a wrong password: %s, want a wait of %d s", wrong, wait)
		}
		right := b.try(429, strings.ToUpper(pawltest.Login), pawltest.Password, attacker)
		unknown = b.try(429, "nobody", "wrong", attacker)
		if right != wrong || unknown != wrong {
			t.Errorf("wrong %s, right %s, unknown %s", wrong, right, unknown)
		}
		b.Clock.Add(time.Duration(wait) * time.Second)
	}
	b.try(401, pawltest.Login, "wrong", attacker)
	b.try(200, pawltest.Login, pawltest.Password, owner)    // a known address does not wait
	b.try(429, pawltest.Login, pawltest.Password, attacker) // and its sign-in does not reset the attacker's wait
	b.Clock.Add(16 * time.Second)
	b.try(200, pawltest.Login, pawltest.Password, attacker)
}

// TestFailedPasswordChanges checks that a thief of a token cannot try passwords with it without a limit.
func TestFailedPasswordChanges(t *testing.T) {
	b := start(t)
	token := bearer(b.login())
	body := `{"currentPassword":"wrong","newPassword":"N3w$ecret!"}`
	for range 5 {
		b.expect(401, api.CodeInvalidCredentials, "PUT", "/v2/auth/password", body, token)
	}
	b.expect(429, api.CodeRateLimitExceeded, "PUT", "/v2/auth/password", body, token)
}

// TestClosedAccount checks that 100 failed sign-ins close an account to unknown addresses, until an administrator with
// the right to set the password resets the user or sets the password.
func TestClosedAccount(t *testing.T) {
	b := start(t, trusting)
	peer, _ := b.addUser("peer@example.com", "MailboxAdmin", 1, 101)
	reset := fmt.Sprintf("/v2/users/reset/%d", pawltest.UserID)
	closeAccount := func() {
		t.Helper()
		for i := range 100 {
			b.try(401, pawltest.Login, "wrong", fmt.Sprintf("2001:db8:%x::1", i))
			b.Clock.Add(15 * time.Minute)
		}
		b.Clock.Add(400 * 24 * time.Hour)
		b.try(429, pawltest.Login, pawltest.Password, "192.0.2.1")
	}
	closeAccount()
	b.expect(200, "", "POST", reset, "", apiKey(b.APIKey)) // a thief of this API key must not open the account
	b.expect(200, "", "POST", reset, "", apiKey(peer))     // a peer may not set the password
	b.try(429, pawltest.Login, pawltest.Password, "192.0.2.1")
	b.expect(200, "", "POST", reset, "", b.admin())
	b.try(200, pawltest.Login, pawltest.Password, "192.0.2.1")
	closeAccount()
	body := fmt.Sprintf(`{"userId":%d,"newPassword":"N3w$ecret!"}`, pawltest.UserID)
	b.expect(200, "", "POST", "/v2/users/password", body, b.admin())
	b.try(200, pawltest.Login, "N3w$ecret!", "192.0.2.1")
}
