package server_test

import (
	"bytes"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// logBuffer keeps the log of a server.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// option makes a server write its log to l.
func (l *logBuffer) option() pawltest.Option {
	return pawltest.WithConfig(func(c *app.Config) {
		c.Log = slog.New(server.LogHandler(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})))
	})
}

// audit returns the events for a query, oldest first.
func (b *browser) audit(query string, credentials string) []api.Event {
	b.Helper()
	events := data[[]api.Event](b, "GET", "/v2/audit?recordsPerPage=500&"+query, "", credentials)
	slices.Reverse(events)
	return events
}

var (
	secretsInResponses = regexp.MustCompile(`"token":"([^"]+)"|"key":"(pawl_[^"*]+)"|"data":"([^"]+)"`)
	passwordsInBodies  = regexp.MustCompile(`(?i)"(?:password|currentPassword|newPassword)":"([^"]*)"`)
)

// TestNoSecretLeaks makes each call of the contract and some failing calls, and searches the log, the audit and the
// errors for each password, token and API key.
func TestNoSecretLeaks(t *testing.T) {
	log := &logBuffer{}
	b := start(t, log.option())
	token := b.login()
	const idempotencyKey = "S3cret-retry-key"
	secrets := map[string]bool{
		pawltest.Password: true, pawltest.AdminPassword: true, b.APIKey: true, b.AdminAPIKey: true,
		token: true, idempotencyKey: true,
	}
	var errors strings.Builder
	do := func(_, method, path, body string, headers ...string) string {
		resp, text := b.send(method, path, body, headers...)
		for _, found := range passwordsInBodies.FindAllStringSubmatch(body, -1) {
			secrets[found[1]] = len(found[1]) > 5 // because "weak" and "wrong" also occur in messages
		}
		if resp.StatusCode >= 400 {
			errors.WriteString(text)
			return text
		}
		for _, found := range secretsInResponses.FindAllStringSubmatch(text, -1) {
			secrets[found[1]+found[2]+found[3]] = true
		}
		return text
	}
	b.contract(token, do)
	b.Clock.Add(time.Minute)
	do("reuse", "POST", "/v2/auth/refresh", tokenBody(token), "Idempotency-Key: "+idempotencyKey)
	do("a password as login", "POST", "/v2/auth/login", credentials("Sup3r$ecret!", "N3w$ecret!"))
	do("a password as id", "PUT", "/v2/users", `{"userId":"Sup3r$ecret!"}`, apiKey(b.APIKey))
	do("a token as login", "POST", "/v2/auth/login", credentials(token, "N3w$ecret!"))
	do("a password in a query", "GET", "/v2/audit?kind=Sup3r$ecret!", "", b.admin())
	do("an API key in a path", "GET", "/v2/users/"+b.APIKey, "", b.admin())
	for range 6 {
		do("a wrong password", "POST", "/v2/auth/login", credentials(pawltest.Login, "A-wr0ng-guess!"))
	}
	_, audit := b.send("GET", "/v2/audit?recordsPerPage=500", "", b.admin())
	maps.DeleteFunc(secrets, func(secret string, isSecret bool) bool { return secret == "" || !isSecret })
	if len(secrets) < 15 {
		t.Errorf("only %d secrets were found", len(secrets))
	}
	for where, text := range map[string]string{"log": log.String(), "audit": audit, "errors": errors.String()} {
		if len(text) < 1000 {
			t.Fatalf("%s: too short: %s", where, text)
		}
		for secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s: a secret in %s", where, text[max(at-200, 0):min(at+200, len(text))])
			}
		}
	}
}

// TestAudit checks that each change writes one event to the store and to the log, with its user, caller, address,
// session and request id.
func TestAudit(t *testing.T) {
	log := &logBuffer{}
	b := start(t, log.option())
	b.contract(b.login(), func(_, method, path, body string, headers ...string) string {
		_, text := b.send(method, path, body, append(headers, "X-Request-Id: the-request")...)
		return text
	})
	token := b.expect(200, "", "POST", "/v2/auth/login", credentials(pawltest.Login, "N3w$ecret!"))
	b.refresh(200, token)
	b.Clock.Add(time.Minute)
	b.refresh(401, token)
	events := b.audit("", b.admin())
	seen := map[api.EventKind]int{}
	for _, e := range events {
		seen[e.Kind]++
		switch e.Kind {
		case api.EventStarted:
			if !strings.Contains(e.Detail, "token life 1h0m0s") {
				t.Errorf("started with %q", e.Detail)
			}
		case api.EventLogout:
			ofUser := *e.UserID == pawltest.UserID && *e.CallerID == pawltest.UserID && e.SessionID != nil
			if !ofUser || e.RequestID != "the-request" || e.Address != "127.0.0.1" {
				t.Errorf("%+v", e)
			}
		}
	}
	want := map[api.EventKind]int{
		api.EventStarted: 1, api.EventUserCreated: 5, api.EventUserChanged: 1, api.EventRoleChanged: 1,
		api.EventTenantChanged: 2, api.EventStatusChanged: 2, api.EventAPIKeyCreated: 4, api.EventAPIKeyRemoved: 1,
		api.EventLogin: 8, api.EventLoginFailed: 2, api.EventLogout: 1, api.EventSessionsReset: 4,
		api.EventPasswordChanged: 1, api.EventPasswordFailed: 1, api.EventPasswordSet: 1,
		api.EventRefreshRefused: 1, api.EventTheft: 1,
	}
	if !maps.Equal(seen, want) {
		t.Errorf("events %v\nwant   %v", seen, want)
	}
	if n := strings.Count(log.String(), `"msg":"audit"`); n != len(events) {
		t.Errorf("the log has %d events, the store %d", n, len(events))
	}
	for query, want := range map[string]int{
		"kind=login": 8, "userId=4823": 12, "kind=theft&userId=4821": 1,
		"from=2100-01-01T00:00:00Z": 0, "kind=logout&to=2100-01-01T00:00:00Z": 1,
	} {
		if got := b.audit(query, b.admin()); len(got) != want {
			t.Errorf("%s: %d events, want %d: %+v", query, len(got), want, got)
		}
	}
}

// TestRejectedRefreshReasons checks that the audit has the reason of each rejected refresh. The client does not see the
// reason.
func TestRejectedRefreshReasons(t *testing.T) {
	b := start(t)
	superseded, ended := b.login(), b.login()
	b.refresh(401, ended[:len(ended)-4]+"AAAA")
	expired := b.refresh(200, superseded)
	b.refresh(401, superseded)
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/refresh", tokenBody(expired), apiKey("x"))
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(ended))
	b.refresh(401, ended)
	b.Clock.Add(2 * time.Hour)
	b.refresh(401, expired)
	var reasons []string
	for _, e := range b.audit("kind=refreshRefused", b.admin()) {
		reasons = append(reasons, e.Detail)
	}
	want := []string{
		"not a token of this server", "superseded a moment before", "API key missing or not valid", "session has ended",
		"expired",
	}
	if !slices.Equal(reasons, want) {
		t.Errorf("%q, want %q", reasons, want)
	}
}

// TestAuditRights checks that only admins see events, and only the events of users that they administer.
func TestAuditRights(t *testing.T) {
	b := start(t)
	mailboxAdmin := b.login()
	_, user := b.addUser("user@example.com", "MailboxUser", 1, 101)
	_, otherMailbox := b.addUser("mailbox@example.com", "MailboxAdmin", 1, 7)
	_, otherNetwork := b.addUser("network@example.com", "NetworkAdmin", 7, 101)
	b.expect(403, api.CodeAccessDenied, "GET", "/v2/audit", "", bearer(user))
	b.expect(401, api.CodeInvalidSession, "GET", "/v2/audit", "")
	b.expect(400, api.CodeInvalidParameter, "GET", "/v2/audit?recordsPerPage=501", "", bearer(otherMailbox))
	b.expect(400, api.CodeInvalidParameter, "GET", "/v2/audit?userId=1&userId=2", "", bearer(otherMailbox))
	for _, token := range []string{otherMailbox, otherNetwork} {
		self := data[api.User](b, "GET", "/v2/users/me", "", bearer(token))
		for _, e := range b.audit("", bearer(token)) {
			if e.UserID == nil || *e.UserID != self.UserID {
				t.Errorf("%s sees %+v", self.Login, e)
			}
		}
	}
	for token, want := range map[string]int{otherNetwork: 1, otherMailbox: 1, mailboxAdmin: 2} {
		if n := len(b.audit("kind=login", bearer(token))); n != want {
			t.Errorf("an admin sees %d sign-ins, want %d", n, want)
		}
	}
}
