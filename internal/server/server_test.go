package server_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// postgresVariable names the address of a PostgreSQL that the servers of these
// tests keep their state in; without it they have a file each.
const postgresVariable = "PAWL_TEST_POSTGRES"

var update = flag.Bool("update", false, "write the golden files anew")

// browser sends requests to one server.
type browser struct {
	testing.TB
	*pawltest.Server
}

// start runs a server whose traffic is held against the OpenAPI file.
func start(t testing.TB, options ...pawltest.Option) *browser {
	if addr := os.Getenv(postgresVariable); addr != "" {
		options = append(options, pawltest.WithPostgres(newDatabase(t, addr)))
	}
	return &browser{t, pawltest.New(t, append(options, pawltest.WithHandler(apicheck.Handler(t)))...)}
}

// headers in the form "Name: value".
func (b *browser) send(method, path, body string, headers ...string) (*http.Response, string) {
	b.Helper()
	req, err := http.NewRequest(method, b.URL+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp, string(text)
}

// expect sends and wants this status and code; it returns the data's token.
func (b *browser) expect(status int, code api.ErrorCode, method, path, body string, headers ...string) string {
	b.Helper()
	resp, text := b.send(method, path, body, headers...)
	var envelope api.Envelope[json.RawMessage]
	if err := json.Unmarshal([]byte(text), &envelope); err != nil {
		b.Fatalf("%s %s: %q is no envelope: %v", method, path, text, err)
	}
	if resp.StatusCode != status || envelope.ErrorCode != code || envelope.Success != (code == "") {
		b.Fatalf("%s %s %s: %d %s, want %d %q", method, path, body, resp.StatusCode, text, status, code)
	}
	var data struct{ Token string }
	_ = json.Unmarshal(envelope.Data, &data)
	return data.Token
}

func (b *browser) login() string {
	b.Helper()
	return b.expect(200, "", "POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, pawltest.Login, pawltest.Password))
}

func (b *browser) refresh(status int, token string, headers ...string) string {
	b.Helper()
	code := api.ErrorCode("")
	if status == 401 {
		code = api.CodeInvalidSession
	}
	return b.expect(status, code, "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token), headers...)
}

func (b *browser) session(status int, token string) {
	b.Helper()
	code := api.ErrorCode("")
	if status == 401 {
		code = api.CodeInvalidSession
	}
	b.expect(status, code, "POST", "/v2/auth/session", "", "Authorization: Bearer "+token)
}

func TestRefreshKillsTheOldToken(t *testing.T) {
	b := start(t)
	old := b.login()
	b.session(200, old)
	fresh := b.refresh(200, old)
	b.session(401, old)
	b.session(200, fresh)
	b.refresh(401, old) // a race: nothing else happens
	b.session(200, fresh)
	fresher := b.refresh(200, fresh)
	b.refresh(401, old)
	b.session(200, fresher)
}

// TestRace spends one token a hundred times at once over HTTP.
func TestRace(t *testing.T) {
	b := start(t)
	old := b.login()
	var mu sync.Mutex // guards tokens
	var tokens []string
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			resp, text := b.send("POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, old))
			var envelope api.Envelope[api.Token]
			if err := json.Unmarshal([]byte(text), &envelope); err != nil {
				t.Error(err)
			}
			if resp.StatusCode == 200 {
				mu.Lock()
				tokens = append(tokens, envelope.Data.Token)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(tokens) != 1 {
		t.Fatalf("%d winners, want 1", len(tokens))
	}
	b.session(200, tokens[0])
	b.session(401, old)
}

func TestLostAnswers(t *testing.T) {
	b := start(t)
	old := b.login()
	first := b.refresh(200, old, "Idempotency-Key: k1")
	b.Clock.Add(119 * time.Second)
	if again := b.refresh(200, old, "Idempotency-Key: k1"); again != first {
		t.Error("the same request gave another token")
	}
	b.session(401, old)
	b.session(200, first)
	second := b.refresh(200, first, "Idempotency-Key: k2")
	b.refresh(401, old, "Idempotency-Key: k1") // its successor is not current any more
	b.session(401, second)                     // and 119 s after its rotation it is theft
}

func TestRetryWithAnotherKey(t *testing.T) {
	b := start(t)
	old := b.login()
	fresh := b.refresh(200, old, "Idempotency-Key: k1")
	b.refresh(401, old, "Idempotency-Key: k2")
	b.refresh(401, old)
	b.session(200, fresh)
	b.Clock.Add(2 * time.Minute)
	b.refresh(401, old, "Idempotency-Key: k1") // too late: theft
	b.session(401, fresh)
}

func TestKeylessRetry(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.ReplayWithoutKey = 5 * time.Second }))
	old := b.login()
	fresh := b.refresh(200, old)
	if again := b.refresh(200, old); again != fresh {
		t.Error("the same request gave another token")
	}
	b.Clock.Add(5 * time.Second)
	b.refresh(401, old)
	b.session(200, fresh)
}

func TestTheftEndsTheSession(t *testing.T) {
	b := start(t)
	old := b.login()
	fresh := b.refresh(200, old)
	b.Clock.Add(10 * time.Second)
	b.refresh(401, old)
	b.session(200, fresh) // within 10 seconds: a race
	b.Clock.Add(time.Second)
	b.session(401, old)
	b.session(200, fresh) // an old bearer is no theft
	b.refresh(401, old)
	b.session(401, fresh)
	b.refresh(401, fresh)
}

// TestTheftOfAGrandparent: the age is that of the token's own rotation, not of
// the last one.
func TestTheftOfAGrandparent(t *testing.T) {
	b := start(t)
	old := b.login()
	fresh := b.refresh(200, old)
	b.Clock.Add(11 * time.Second)
	fresher := b.refresh(200, fresh)
	b.refresh(401, fresh)
	b.session(200, fresher)
	b.refresh(401, old)
	b.session(401, fresher)
}

// TestTheftByAFastThief: refreshing every few seconds does not hide a thief
// from the owner's old token.
func TestTheftByAFastThief(t *testing.T) {
	b := start(t)
	owner := b.login()
	thief := owner
	for range 4 {
		b.Clock.Add(5 * time.Second)
		thief = b.refresh(200, thief)
	}
	b.refresh(401, owner)
	b.session(401, thief)
}

func TestTheftFoundAfterExpiry(t *testing.T) {
	b := start(t)
	owner := b.login()
	b.Clock.Add(50 * time.Minute)
	thief := b.refresh(200, owner)
	b.Clock.Add(10 * time.Minute) // the owner's token is over
	b.session(200, thief)
	b.refresh(401, owner)
	b.session(401, thief)
}

func TestBearerGrace(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.BearerGrace = 5 * time.Second }))
	first := b.login()
	second := b.refresh(200, first)
	b.session(200, first)
	b.refresh(401, first)
	third := b.refresh(200, second)
	b.session(401, first) // only the immediate predecessor
	b.session(200, second)
	b.Clock.Add(5 * time.Second)
	b.session(401, second)
	b.expect(200, "", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+third)
	b.session(401, third)
}

func TestBearerGraceEndsWithTheSession(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.BearerGrace = time.Minute }))
	first := b.login()
	second := b.refresh(200, first)
	b.expect(200, "", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+second)
	b.session(401, first)
}

func TestLives(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithSessionLife(100*time.Second))
	token := b.login()
	b.Clock.Add(59 * time.Second)
	fresh := b.refresh(200, token)
	b.Clock.Add(40 * time.Second)
	b.session(200, fresh)
	b.Clock.Add(time.Second) // 100 s after the login
	b.session(401, fresh)
	b.refresh(401, fresh)
}

func TestClockBackwardsRevivesNothing(t *testing.T) {
	b := start(t)
	old := b.login()
	b.Clock.Add(time.Minute)
	fresh := b.refresh(200, old)
	b.Clock.Add(-time.Hour)
	b.session(401, old)
	b.refresh(401, old)
	b.session(200, fresh)
	b.refresh(200, fresh)
}

func TestRefreshKeyModes(t *testing.T) {
	for mode, want := range map[authority.RefreshAPIKeyPolicy][4]int{ // none, own, another's, damaged
		authority.APIKeyOptional: {200, 200, 200, 401}, authority.APIKeyRequired: {401, 200, 200, 401}, authority.APIKeyBound: {401, 200, 401, 401},
	} {
		t.Run(string(mode), func(t *testing.T) {
			b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.RefreshAPIKey = mode }))
			for i, headers := range [][]string{nil, {"X-API-Key: " + b.APIKey}, {"X-API-Key: " + b.AdminAPIKey}, {"X-API-Key: " + b.APIKey[:20]}} {
				token := b.login()
				code := api.ErrorCode("")
				if want[i] == 401 {
					code = api.CodeInvalidAPIKey
				}
				b.expect(want[i], code, "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token), headers...)
				if want[i] == 401 {
					b.session(200, token) // nothing was changed
				}
			}
		})
	}
}

func TestWhatEndsSessionsEndsThem(t *testing.T) {
	b := start(t)
	admin := "X-API-Key: " + b.AdminAPIKey
	for name, end := range map[string]func(token string){
		"logout":    func(token string) { b.expect(200, "", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+token) },
		"reset":     func(string) { b.expect(200, "", "POST", "/v2/users/reset/4821", "", admin) },
		"suspend":   func(string) { b.expect(200, "", "PUT", "/v2/users", `{"userId":4821,"status":"Suspended"}`, admin) },
		"terminate": func(string) { b.expect(200, "", "DELETE", "/v2/users/4821", "", admin) },
	} {
		if name == "terminate" {
			continue // last, below: it is for good
		}
		token := b.login()
		end(token)
		b.session(401, token)
		b.refresh(401, token)
		if name == "suspend" {
			b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, pawltest.Login, pawltest.Password))
			b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", "X-API-Key: "+b.APIKey)
			b.expect(200, "", "PUT", "/v2/users", `{"userId":4821,"status":"Active"}`, admin)
			b.session(401, token) // what a suspend ended stays ended
			b.expect(200, "", "POST", "/v2/auth/session", "", "X-API-Key: "+b.APIKey)
		}
	}
	token := b.login()
	b.expect(200, "", "DELETE", "/v2/users/4821", "", admin)
	b.session(401, token)
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", "X-API-Key: "+b.APIKey)
	b.expect(404, api.CodeObjectNotFound, "PUT", "/v2/users", `{"userId":4821,"status":"Active"}`, admin)
}

func TestSessionKeyDiesWithItsSession(t *testing.T) {
	b := start(t)
	token := b.login()
	_, text := b.send("POST", "/v2/keys/create", `{"userId":4821,"visibility":"Session"}`, "Authorization: Bearer "+token)
	var made api.Envelope[api.APIKey]
	if err := json.Unmarshal([]byte(text), &made); err != nil || !made.Success {
		t.Fatal(text, err)
	}
	key := "X-API-Key: " + made.Data.Key
	b.expect(200, "", "POST", "/v2/auth/session", "", key)
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/keys/create", `{"userId":4821,"visibility":"Session"}`, "X-API-Key: "+b.APIKey)
	b.expect(200, "", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+token)
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", key)
}

// TestBadInput holds a line of the contract's table for each bad input.
func TestBadInput(t *testing.T) {
	b := start(t)
	token := b.login()
	const refresh = "/v2/auth/refresh"
	for _, c := range []struct {
		name, body string
		status     int
		mentions   string
		headers    []string
	}{
		{"no body", ``, 400, "token is missing", nil},
		{"half a body", `{"token":"a`, 400, "not JSON", nil},
		{"an array", `["a"]`, 400, "one JSON object", nil},
		{"null", `null`, 400, "one JSON object", nil},
		{"two objects", `{"token":"a"}{}`, 400, "not JSON", nil},
		{"only space", `  `, 400, "one JSON object", nil},
		{"a number for token", `{"token":1}`, 400, "token must be a string", nil},
		{"null for token", `{"token":null}`, 400, "token is missing", nil},
		{"17 KiB", `{"token":"` + strings.Repeat("a", 17<<10) + `"}`, 413, "16 KiB", nil},
		{"deep nesting", `{"x":` + strings.Repeat("[", 15000), 400, "not JSON", nil},
		{"broken UTF-8", "{\"token\":\"\xff\"}", 400, "token", nil},
		{"a raw NUL", "{\"token\":\"\x00\"}", 400, "token", nil},
		{"an escaped NUL", `{"token":"\u0000"}`, 400, "token", nil},
		{"token twice", `{"token":"a","token":"b"}`, 400, "token occurs twice", nil},
		{"token twice by case", `{"token":"a","TOKEN":"b"}`, 400, "occurs twice", nil},
		{"the wrong type", `{"token":"a"}`, 415, "Content-Type", []string{"Content-Type: text/plain"}},
		{"another charset", `{"token":"a"}`, 415, "Content-Type", []string{"Content-Type: application/json; charset=latin1"}},
		{"no dots", `{"token":"abc"}`, 400, "is not a JWT", nil},
		{"one dot", `{"token":"` + strings.Replace(token, ".", "", 1) + `"}`, 400, "is not a JWT", nil},
		{"alg none", `{"token":"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30."}`, 401, "sign in", nil},
		{"another key", `{"token":"` + token[:len(token)-4] + `AAAA"}`, 401, "sign in", nil},
		{"a damaged key", `{"token":"` + token + `"}`, 401, "API key", []string{"X-API-Key: pawl_x"}},
		{"an empty key", `{"token":"` + token + `"}`, 401, "X-API-Key", []string{"X-API-Key: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, text := b.send("POST", refresh, c.body, c.headers...)
			if resp.StatusCode != c.status || !strings.Contains(text, c.mentions) {
				t.Errorf("%d %s, want %d and %q", resp.StatusCode, text, c.status, c.mentions)
			}
		})
	}
	b.session(200, token) // nothing was changed
}

func TestNamesMatchWithoutRegardToCase(t *testing.T) {
	b := &browser{t, pawltest.New(t)} // the file cannot say this of names
	token := b.expect(200, "", "POST", "/v2/auth/login", fmt.Sprintf(`{"EMAIL":%q,"PassWord":%q,"unknown":[1]}`, strings.ToUpper(pawltest.Login), pawltest.Password))
	for _, name := range []string{"to_ken", "to-ken", "token_"} {
		b.expect(400, api.CodeInvalidParameter, "POST", "/v2/auth/refresh", fmt.Sprintf(`{%q:%q}`, name, token))
	}
	b.expect(200, "", "POST", "/v2/auth/refresh", fmt.Sprintf(`{"Token":%q}`, token))
}

// TestPagesOfOtherSites: a page can make its visitors' browsers send what needs
// no leave of the server. None of it is a try to sign in.
func TestPagesOfOtherSites(t *testing.T) {
	b := start(t)
	body := fmt.Sprintf(`{"login":%q,"password":"wrong"}`, pawltest.Login)
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		for _, site := range []string{"https://elsewhere.example", "null"} {
			resp, text := b.send("POST", "/v2/auth/login", body, "Content-Type: "+media, "Origin: "+site)
			if resp.StatusCode != 415 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%q of %s: %d %s", media, site, resp.StatusCode, text)
			}
		}
	}
	resp, _ := b.send("OPTIONS", "/v2/auth/login", "", "Origin: https://elsewhere.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
	if resp.StatusCode == 200 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight: %d %v", resp.StatusCode, resp.Header)
	}
	if events := b.audit("kind=loginFailed", "X-API-Key: "+b.AdminAPIKey); len(events) != 0 {
		t.Errorf("%d guesses were counted", len(events))
	}
	b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", body, "Content-Type: ") // a client that is no browser
}

// TestKeysAreBounded: a user cannot fill the store with keys.
func TestKeysAreBounded(t *testing.T) {
	b := &browser{t, pawltest.New(t)} // a thousand calls, without the OpenAPI check
	body, key := fmt.Sprintf(`{"userId":%d,"visibility":"Shared"}`, pawltest.UserID), "X-API-Key: "+b.APIKey
	for range 999 { // beside the primary one
		b.expect(200, "", "POST", "/v2/keys/create", body, key)
	}
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/keys/create", body, key)
	b.expect(200, "", "DELETE", "/v2/keys", `{"keyId":7}`, key)
	b.expect(200, "", "POST", "/v2/keys/create", body, key)
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/keys/create", body, key)
}

// TestRights tries each level at what is beyond it.
func TestRights(t *testing.T) {
	b := start(t)
	admin := "X-API-Key: " + b.AdminAPIKey
	keys := map[string]string{}
	ids := map[string]int64{}
	for i, level := range []string{"TechOps", "NetworkAdmin", "NetworkUser", "MailboxAdmin", "MailboxUser", "General"} {
		var made api.Envelope[api.User]
		_, text := b.send("POST", "/v2/users", fmt.Sprintf(`{"login":"%s@x.example","email":"u@x.example","password":"An0ther$ecret","authLevel":"%s","networkId":7,"mailboxId":70}`, level, level), admin)
		if err := json.Unmarshal([]byte(text), &made); err != nil || !made.Success {
			t.Fatal(i, text)
		}
		var key api.Envelope[string]
		_, text = b.send("POST", fmt.Sprintf("/v2/users/key-generate/%d", made.Data.UserID), "", admin)
		if err := json.Unmarshal([]byte(text), &key); err != nil || !key.Success {
			t.Fatal(text)
		}
		keys[level], ids[level] = "X-API-Key: "+key.Data, made.Data.UserID
	}
	const fresh = `{"login":"%s","email":"n@x.example","password":"An0ther$ecret","authLevel":"%s","networkId":%d,"mailboxId":%d}`
	for i, c := range []struct {
		as, method, path, body string
		status                 int
	}{
		{"MailboxUser", "POST", "/v2/users", fmt.Sprintf(fresh, "a", "General", 7, 70), 403},
		{"NetworkUser", "POST", "/v2/users", fmt.Sprintf(fresh, "a", "General", 7, 70), 403},
		{"MailboxAdmin", "POST", "/v2/users", fmt.Sprintf(fresh, "a", "General", 7, 71), 403},
		{"MailboxAdmin", "POST", "/v2/users", fmt.Sprintf(fresh, "a", "NetworkUser", 7, 70), 403},
		{"MailboxAdmin", "POST", "/v2/users", fmt.Sprintf(fresh, "a", "General", 7, 70), 200},
		{"NetworkAdmin", "POST", "/v2/users", fmt.Sprintf(fresh, "b", "NetworkAdmin", 7, 99), 200},
		{"NetworkAdmin", "POST", "/v2/users", fmt.Sprintf(fresh, "c", "General", 8, 70), 403},
		{"NetworkAdmin", "POST", "/v2/users", fmt.Sprintf(fresh, "c", "NetOps", 7, 70), 403},
		{"TechOps", "POST", "/v2/users", fmt.Sprintf(fresh, "d", "NetOps", 8, 70), 200},
		{"TechOps", "POST", "/v2/users", fmt.Sprintf(fresh, "e", "Root", 8, 70), 403},
		{"MailboxUser", "GET", fmt.Sprintf("/v2/users/%d", ids["General"]), "", 403},
		{"MailboxUser", "GET", fmt.Sprintf("/v2/users/%d", ids["MailboxUser"]), "", 200},
		{"MailboxAdmin", "GET", fmt.Sprintf("/v2/users/%d", ids["General"]), "", 200},
		{"MailboxAdmin", "GET", "/v2/users/4821", "", 404},
		{"MailboxAdmin", "GET", "/v2/users/999999", "", 404},
		{"MailboxAdmin", "PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"firstName":"x"}`, ids["NetworkAdmin"]), 403},
		{"MailboxAdmin", "POST", fmt.Sprintf("/v2/users/key-generate/%d", ids["TechOps"]), "", 403},
		{"MailboxAdmin", "POST", fmt.Sprintf("/v2/users/reset/%d", ids["TechOps"]), "", 403},
		{"MailboxAdmin", "POST", "/v2/users/password", fmt.Sprintf(`{"userId":%d,"newPassword":"An0ther$ecret2"}`, ids["General"]), 403},
		{"NetworkAdmin", "POST", "/v2/users/password", fmt.Sprintf(`{"userId":%d,"newPassword":"An0ther$ecret2"}`, ids["General"]), 200},
		{"NetworkAdmin", "POST", "/v2/users/role", fmt.Sprintf(`{"userId":%d,"authLevel":"TechOps"}`, ids["General"]), 403},
		{"NetworkAdmin", "POST", "/v2/users/role", fmt.Sprintf(`{"userId":%d,"authLevel":"TPUser"}`, ids["General"]), 200},
		{"NetworkAdmin", "POST", "/v2/users/set-network-mailbox", fmt.Sprintf(`{"userId":%d,"networkId":8}`, ids["General"]), 403},
		{"NetworkAdmin", "POST", "/v2/users/set-network-mailbox", fmt.Sprintf(`{"userId":%d,"mailboxId":71}`, ids["General"]), 200},
		{"MailboxAdmin", "GET", fmt.Sprintf("/v2/users/%d", ids["General"]), "", 404},
		{"General", "PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"status":"Suspended"}`, ids["General"]), 403},
		{"General", "PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"firstName":"Gen"}`, ids["General"]), 200},
		{"General", "POST", "/v2/users/list", `{}`, 403},
		{"General", "POST", "/v2/auth/sessions", `{"userId":4821}`, 403},
		{"General", "POST", "/v2/keys/list", `{"userId":4821}`, 403},
		{"General", "DELETE", "/v2/keys", `{"keyId":1}`, 404},
		{"NetworkAdmin", "POST", "/v2/users/list", `{"networkId":8}`, 403},
		{"NetworkAdmin", "DELETE", fmt.Sprintf("/v2/users/%d", ids["NetworkAdmin"]), "", 403},
		{"NetworkAdmin", "DELETE", fmt.Sprintf("/v2/users/%d", ids["General"]), "", 200},
	} {
		resp, text := b.send(c.method, c.path, c.body, keys[c.as])
		if resp.StatusCode != c.status {
			t.Errorf("line %d: %s %s %s %s: %d %s, want %d", i, c.as, c.method, c.path, c.body, resp.StatusCode, text, c.status)
		}
	}
}

var volatile = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`), "TOKEN"},
	{regexp.MustCompile(`pawl_[\w-]{48}`), "KEY"},
	{regexp.MustCompile(`pawl_[\w-]{4}\*{8}`), "MASKED"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`"sessionId":"[\w-]{22}"`), `"sessionId":"SESSION"`},
	{regexp.MustCompile(`("data":)"[^"*]{12}"`), `$1"PASSWORD"`},
}

// contract makes each call of the contract, in order, for the owner of a token
// and for an administrator.
func (b *browser) contract(token string, do func(name, method, path, body string, headers ...string) string) {
	bearer := "Authorization: Bearer " + token
	admin := "X-API-Key: " + b.AdminAPIKey
	do("login", "POST", "/v2/auth/login", `{"login":"jsmith@example.com","password":"Sup3r$ecret!"}`)
	do("login refused", "POST", "/v2/auth/login", `{"login":"jsmith@example.com","password":"wrong"}`)
	do("login unknown", "POST", "/v2/auth/login", `{"login":"nobody","password":"wrong"}`)
	do("login with a bad key", "POST", "/v2/auth/login", `{"login":"jsmith@example.com","password":"Sup3r$ecret!"}`, "X-API-Key: bad")
	do("session", "POST", "/v2/auth/session", "", bearer)
	do("session by key", "POST", "/v2/auth/session", "", admin)
	do("session by both", "POST", "/v2/auth/session", "", bearer, admin)
	do("session by nothing", "POST", "/v2/auth/session", "")
	do("session by Basic", "POST", "/v2/auth/session", "", "Authorization: Basic eDp5")
	do("version", "GET", "/v2/auth/version", "")
	do("sessions", "POST", "/v2/auth/sessions", "", bearer)
	do("end a session that is not there", "DELETE", "/v2/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA", "", bearer)
	do("end a session with a bad id", "DELETE", "/v2/auth/sessions/x", "", bearer)
	do("change the password", "PUT", "/v2/auth/password", `{"currentPassword":"Sup3r$ecret!","newPassword":"N3w$ecret!","revokeOtherSessions":true}`, bearer)
	do("change it wrongly", "PUT", "/v2/auth/password", `{"currentPassword":"Sup3r$ecret!","newPassword":"N3w$ecret!"}`, bearer)
	do("change it to a weak one", "PUT", "/v2/auth/password", `{"currentPassword":"N3w$ecret!","newPassword":"weak"}`, bearer)
	do("change it to a common one", "PUT", "/v2/auth/password", `{"currentPassword":"N3w$ecret!","newPassword":"P@ssw0rd"}`, bearer)
	do("other sessions are gone", "POST", "/v2/auth/sessions", "{}", bearer)

	do("create a user", "POST", "/v2/users", `{"login":"new@example.com","email":"new@example.com","password":"N3w$ecret!","firstName":"New"}`, bearer)
	do("create it twice", "POST", "/v2/users", `{"login":"NEW@example.com","email":"new@example.com","password":"N3w$ecret!"}`, bearer)
	do("create without email", "POST", "/v2/users", `{"login":"x@example.com","password":"N3w$ecret!"}`, bearer)
	do("create with a bad level", "POST", "/v2/users", `{"login":"x@example.com","authLevel":"King"}`, bearer)
	do("get me", "GET", "/v2/users/me", "", bearer)
	do("get a user", "GET", "/v2/users/4823", "", bearer)
	do("get none", "GET", "/v2/users/9", "", bearer)
	do("get with a bad id", "GET", "/v2/users/x", "", bearer)
	do("list", "POST", "/v2/users/list", `{"authLevel":"MailboxUser"}`, bearer)
	do("list too much", "POST", "/v2/users/list", `{"recordsPerPage":501}`, bearer)
	do("by name", "POST", "/v2/users/by-name", `{"login":"New@Example.com"}`, bearer)
	do("by name, none", "POST", "/v2/users/by-name", `{"login":"none"}`, bearer)
	do("update", "PUT", "/v2/users", `{"userId":4823,"lastName":"User"}`, bearer)
	do("role", "POST", "/v2/users/role", `{"userId":4823,"authLevel":"TPUser"}`, bearer)
	do("role, no change", "POST", "/v2/users/role", `{"userId":4823,"authLevel":"NoChange","mailboxId":102}`, admin)
	do("place", "POST", "/v2/users/set-network-mailbox", `{"userId":4823,"mailboxId":101}`, admin)
	do("set a password", "POST", "/v2/users/password", `{"userId":4823,"newPassword":"An0ther$ecret"}`, admin)
	do("set a password as a MailboxAdmin", "POST", "/v2/users/password", `{"userId":4823,"newPassword":"An0ther$ecret"}`, bearer)
	do("generate a password", "POST", "/v2/users/generate-password", "", bearer)
	do("generate a long one", "POST", "/v2/users/generate-password", `{"length":129}`, bearer)
	do("generate a key", "POST", "/v2/users/key-generate/4823", "", bearer)
	do("read a key back", "GET", "/v2/users/key/4823", "")
	do("create a key", "POST", "/v2/keys/create", `{"userId":4823,"visibility":"Shared"}`, bearer)
	do("create a key without visibility", "POST", "/v2/keys/create", `{"userId":4823}`, bearer)
	do("list keys", "POST", "/v2/keys/list", `{"userId":4823}`, bearer)
	do("list shared keys", "POST", "/v2/keys/list", `{"userId":4823,"visibility":"Shared"}`, bearer)
	do("get the primary key", "POST", "/v2/keys/get-key", `{"userId":4823}`, bearer)
	do("delete a key", "DELETE", "/v2/keys", `{"keyId":4}`, bearer)
	do("delete it twice", "DELETE", "/v2/keys", `{"keyId":4}`, bearer)
	do("reset", "POST", "/v2/users/reset/4823", "", bearer)
	do("suspend", "PUT", "/v2/users", `{"userId":4823,"status":"Suspended"}`, bearer)
	do("suspend oneself", "PUT", "/v2/users", `{"userId":4821,"status":"Suspended"}`, bearer)
	do("a status that is not for this", "PUT", "/v2/users", `{"userId":4823,"status":"Terminated"}`, bearer)
	do("terminate", "DELETE", "/v2/users/4823", "", bearer)
	do("terminate oneself", "DELETE", "/v2/users/4821", "", bearer)

	do("refresh", "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token), "X-API-Key: "+b.APIKey)
	do("refresh again", "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token), "X-API-Key: "+b.APIKey)
	do("session of the old token", "POST", "/v2/auth/session", "", bearer)
	do("refresh with nothing", "POST", "/v2/auth/refresh", `{}`)
	do("logout by key", "POST", "/v2/auth/logout", "", "X-API-Key: "+b.APIKey)
	do("logout", "POST", "/v2/auth/logout", "", "Authorization: Bearer "+b.expect(200, "", "POST", "/v2/auth/login", `{"username":"jsmith@example.com","password":"N3w$ecret!"}`))
	do("no such path", "GET", "/v2/nothing", "")
	do("not a clean path", "GET", "/v2//auth/version", "")
	do("wrong method", "GET", "/v2/auth/refresh", "")
	do("audit, none", "GET", "/v2/audit?userId=9&kind=logout", "", admin)
	do("audit of a bad kind", "GET", "/v2/audit?kind=nothing", "", admin)
	do("audit from a bad time", "GET", "/v2/audit?from=yesterday", "", admin)
}

// TestGolden runs each call of the contract once, in order, and holds status,
// the headers that the contract names, and the body against a file.
func TestGolden(t *testing.T) {
	b := start(t)
	var got bytes.Buffer
	token := b.login()
	b.Clock.Add(time.Second) // sessions are listed in the order of their seconds
	do := func(name, method, path, body string, headers ...string) string {
		resp, text := b.send(method, path, body, headers...)
		fmt.Fprintf(&got, "# %s\n%s %s\n%d", name, method, regexp.MustCompile(`[\w-]{22}$`).ReplaceAllString(path, "SESSION"), resp.StatusCode)
		for _, header := range []string{"Allow", "Cache-Control", "Content-Type", "Retry-After", "WWW-Authenticate"} {
			if value := resp.Header.Get(header); value != "" {
				fmt.Fprintf(&got, " %s: %s;", header, value)
			}
		}
		if resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no X-Request-Id", name)
		}
		plain := text
		for _, v := range volatile {
			plain = v.pattern.ReplaceAllString(plain, v.name)
		}
		fmt.Fprintf(&got, "\n%s\n", plain)
		return text
	}
	b.contract(token, do)

	path := filepath.Join("testdata", "contract.golden")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		out := filepath.Join(os.TempDir(), "contract.got")
		_ = os.WriteFile(out, got.Bytes(), 0o600)
		t.Errorf("the answers differ from %s; see %s, and run with -update if they are right", path, out)
	}
}

func TestRequestID(t *testing.T) {
	b := start(t)
	for sent, kept := range map[string]bool{"abc-123_X.y": true, "bad id": false, strings.Repeat("x", 129): false, "": false} {
		resp, _ := b.send("GET", "/v2/auth/version", "", "X-Request-Id: "+sent)
		if got := resp.Header.Get("X-Request-Id"); (got == sent) != kept || got == "" {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}
