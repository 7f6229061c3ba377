package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
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

// captured is a log that a test reads.
type captured struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (c *captured) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *captured) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

func (c *captured) option(config *app.Config) {
	config.Log = slog.New(server.LogHandler(slog.NewJSONHandler(c, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// audit lists events, oldest first.
func (b *browser) audit(query string, credentials string) []api.Event {
	b.Helper()
	resp, text := b.send("GET", "/v2/audit?recordsPerPage=500&"+query, "", credentials)
	var envelope api.Envelope[[]api.Event]
	if err := json.Unmarshal([]byte(text), &envelope); err != nil || resp.StatusCode != 200 {
		b.Fatalf("audit %s: %d %s", query, resp.StatusCode, text)
	}
	slices.Reverse(envelope.Data)
	return envelope.Data
}

var secretsInAnswers = regexp.MustCompile(`"token":"([^"]+)"|"key":"(pawl_[^"*]+)"|"data":"([^"]+)"`)

// TestNoSecretGetsOut makes each call of the contract and some that go wrong,
// and looks for each password, token and key of it in the log, in the audit
// and in the errors.
func TestNoSecretGetsOut(t *testing.T) {
	log := &captured{}
	b := start(t, pawltest.WithConfig(log.option))
	secrets := map[string]bool{pawltest.Password: true, pawltest.AdminPassword: true, b.APIKey: true, b.AdminAPIKey: true}
	var errors strings.Builder
	passwords := regexp.MustCompile(`(?i)"(?:password|currentPassword|newPassword)":"([^"]*)"`)
	do := func(_, method, path, body string, headers ...string) string {
		resp, text := b.send(method, path, body, headers...)
		for _, found := range passwords.FindAllStringSubmatch(body, -1) {
			secrets[found[1]] = len(found[1]) > 5 // "weak" and "wrong" are words of ours too
		}
		if resp.StatusCode >= 400 {
			errors.WriteString(text)
			return text
		}
		for _, found := range secretsInAnswers.FindAllStringSubmatch(text, -1) {
			secrets[found[1]+found[2]+found[3]] = true
		}
		return text
	}
	token := b.login()
	secrets[token] = true
	b.contract(token, do)
	b.Clock.Add(time.Minute)
	do("theft", "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token), "Idempotency-Key: S3cret-retry-key")
	secrets["S3cret-retry-key"] = true
	do("a password for a login", "POST", "/v2/auth/login", `{"login":"Sup3r$ecret!","password":"N3w$ecret!"}`)
	do("a password for a name", "PUT", "/v2/users", `{"userId":"Sup3r$ecret!"}`, "X-API-Key: "+b.APIKey)
	do("a token for a login", "POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":"N3w$ecret!"}`, token))
	do("a password in a query", "GET", "/v2/audit?kind=Sup3r$ecret!", "", "X-API-Key: "+b.AdminAPIKey)
	do("a key in a path", "GET", "/v2/users/"+b.APIKey, "", "X-API-Key: "+b.AdminAPIKey)
	for range 6 {
		do("guess", "POST", "/v2/auth/login", `{"login":"jsmith@example.com","password":"A-wr0ng-guess!"}`)
	}
	_, audit := b.send("GET", "/v2/audit?recordsPerPage=500", "", "X-API-Key: "+b.AdminAPIKey)
	delete(secrets, "")
	looked := 0
	for secret, is := range secrets {
		if !is {
			continue
		}
		looked++
		for where, text := range map[string]string{"the log": log.String(), "the audit": audit, "an error": errors.String()} {
			if len(text) < 1000 {
				t.Fatalf("%s is too short: %s", where, text)
			}
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s has a secret: %s", where, text[max(at-200, 0):min(at+200, len(text))])
			}
		}
	}
	if looked < 15 {
		t.Errorf("only %d secrets were looked for", looked)
	}
}

// TestAudit: each thing that happens is one event, in the store and in the
// log, with who, where and which request.
func TestAudit(t *testing.T) {
	log := &captured{}
	b := start(t, pawltest.WithConfig(log.option))
	b.contract(b.login(), func(_, method, path, body string, headers ...string) string {
		_, text := b.send(method, path, body, append(headers, "X-Request-Id: the-request")...)
		return text
	})
	token := b.expect(200, "", "POST", "/v2/auth/login", `{"login":"jsmith@example.com","password":"N3w$ecret!"}`)
	b.refresh(200, token)
	b.Clock.Add(time.Minute)
	b.refresh(401, token)
	events := b.audit("", "X-API-Key: "+b.AdminAPIKey)
	seen := map[api.EventKind]int{}
	for _, e := range events {
		seen[e.Kind]++
		switch {
		case e.Kind == "started" && !strings.Contains(e.Detail, "token life 1h0m0s"):
			t.Errorf("started with %q", e.Detail)
		case e.Kind == "logout" && (e.RequestID != "the-request" || e.Address != "127.0.0.1" || *e.UserID != pawltest.UserID || *e.CallerID != pawltest.UserID || e.SessionID == nil):
			t.Errorf("%+v", e)
		}
	}
	want := map[string]int{"started": 1, "userMade": 3, "keyMade": 4, "keyRemoved": 1, "login": 4, "loginFailed": 2, "passwordChanged": 1, "passwordFailed": 1,
		"userChanged": 1, "roleChanged": 1, "placeChanged": 2, "statusChanged": 2, "passwordSet": 1, "sessionsReset": 1, "refreshRefused": 1, "logout": 1, "theft": 1}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("events %v\nwant   %v", seen, want)
	}
	if n := strings.Count(log.String(), `"msg":"audit"`); n != len(events) {
		t.Errorf("the log has %d events, the store %d", n, len(events))
	}
	for query, n := range map[string]int{"kind=login": 4, "userId=4823": 12, "kind=theft&userId=4821": 1, "from=2100-01-01T00:00:00Z": 0, "kind=logout&to=2100-01-01T00:00:00Z": 1} {
		if got := b.audit(query, "X-API-Key: "+b.AdminAPIKey); len(got) != n {
			t.Errorf("%s: %d events, want %d: %+v", query, len(got), n, got)
		}
	}
}

// TestRefusedRefreshesSayWhy: to the administrator, and not to who was refused.
func TestRefusedRefreshesSayWhy(t *testing.T) {
	b := start(t)
	spent, ended := b.login(), b.login()
	b.refresh(401, ended[:len(ended)-4]+"AAAA")
	expired := b.refresh(200, spent)
	b.refresh(401, spent)
	b.expect(401, "InvalidAPIKey", "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, expired), "X-API-Key: x")
	b.expect(200, "", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+ended)
	b.refresh(401, ended)
	b.Clock.Add(2 * time.Hour)
	b.refresh(401, expired)
	var why []string
	for _, e := range b.audit("kind=refreshRefused", "X-API-Key: "+b.AdminAPIKey) {
		why = append(why, e.Detail)
	}
	if want := []string{"not a token of this server", "superseded a moment before", "API key missing or not valid", "session has ended", "expired"}; !slices.Equal(why, want) {
		t.Errorf("%q, want %q", why, want)
	}
}

// TestAuditRights: an admin sees the events of the users of the place, and
// nobody else sees any.
func TestAuditRights(t *testing.T) {
	b := start(t)
	token := b.login()
	signUp := func(login, level string, mailbox int) string {
		b.expect(200, "", "POST", "/v2/users", fmt.Sprintf(`{"login":%q,"email":"x@example.com","password":"N3w$ecret!","authLevel":%q,"mailboxId":%d}`, login, level, mailbox), "X-API-Key: "+b.AdminAPIKey)
		return "Authorization: Bearer " + b.expect(200, "", "POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":"N3w$ecret!"}`, login))
	}
	elsewhere, user := signUp("elsewhere", "MailboxAdmin", 7), signUp("user", "MailboxUser", 101)
	b.expect(403, api.CodeAccessDenied, "GET", "/v2/audit", "", user)
	b.expect(401, api.CodeInvalidSession, "GET", "/v2/audit", "")
	b.expect(400, api.CodeInvalidParameter, "GET", "/v2/audit?recordsPerPage=501", "", elsewhere)
	b.expect(400, api.CodeInvalidParameter, "GET", "/v2/audit?userId=1&userId=2", "", elsewhere)
	for _, e := range b.audit("", elsewhere) {
		if e.UserID == nil || *e.UserID != 4823 {
			t.Errorf("an admin of another mailbox sees %+v", e)
		}
	}
	other, _ := b.addUser("network@example.com", "NetworkAdmin", 7, 101)
	for _, e := range b.audit("", "X-API-Key: "+other) {
		if e.UserID == nil || *e.UserID != 4825 {
			t.Errorf("an admin of another network sees %+v", e)
		}
	}
	if n := len(b.audit("kind=login", "X-API-Key: "+other)); n != 1 {
		t.Errorf("an admin sees %d sign-ins of the network, want 1", n)
	}
	if n := len(b.audit("kind=login", elsewhere)); n != 1 {
		t.Errorf("an admin sees %d sign-ins of the mailbox, want 1", n)
	}
	if n := len(b.audit("kind=login", "Authorization: Bearer "+token)); n != 2 {
		t.Errorf("an admin sees %d sign-ins of the mailbox, want 2", n)
	}
}
