package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// volatile matches the parts of a response with a new value in each run.
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

// newUserID matches the id of a user that the test has created.
var newUserID = regexp.MustCompile(`"userId":48(2[3-9]|[3-9]\d)\b`)

// TestGolden compares the status, the headers of the contract, and the body of each call with a file.
func TestGolden(t *testing.T) {
	b := start(t)
	var got bytes.Buffer
	numbers := map[string]string{}
	token := b.login()
	b.Clock.Add(time.Second) // because sessions are listed in the order of their seconds
	do := func(name, method, path, body string, headers ...string) string {
		resp, text := b.send(method, path, body, headers...)
		path = regexp.MustCompile(`[\w-]{22}$`).ReplaceAllString(path, "SESSION")
		fmt.Fprintf(&got, "# %s\n%s %s\n%d", name, method, path, resp.StatusCode)
		for _, header := range []string{"Allow", "Cache-Control", "Content-Type", "Retry-After", "WWW-Authenticate"} {
			if value := resp.Header.Get(header); value != "" {
				fmt.Fprintf(&got, " %s: %s;", header, value)
			}
		}
		if resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no X-Request-Id", name)
		}
		stable := text
		for _, v := range volatile {
			stable = v.pattern.ReplaceAllString(stable, v.name)
		}
		stable = newUserID.ReplaceAllStringFunc(stable, func(id string) string {
			// PostgreSQL spends an id on a rejected insert, so the ids are numbered in the order of their appearance.
			if _, known := numbers[id]; !known {
				numbers[id] = fmt.Sprintf(`"userId":%d`, 4823+len(numbers))
			}
			return numbers[id]
		})
		fmt.Fprintf(&got, "\n%s\n", stable)
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
		t.Errorf("the responses differ from %s; compare %s, and run with -update if they are right", path, out)
	}
}

// TestRequestID checks that the server keeps a well-formed X-Request-Id and replaces any other.
func TestRequestID(t *testing.T) {
	b := start(t)
	for sent, kept := range map[string]bool{
		"abc-123_X.y": true, "bad id": false, strings.Repeat("x", 40): true, strings.Repeat("x", 41): false, "": false,
	} {
		resp, _ := b.send("GET", "/v2/auth/version", "", "X-Request-Id: "+sent)
		if got := resp.Header.Get("X-Request-Id"); (got == sent) != kept || got == "" {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}

// do sends a request of the contract and returns the body of the response.
type do func(name, method, path, body string, headers ...string) string

// contract makes each call of the contract, in order, for the user of a token and for the administrator.
func (b *browser) contract(token string, do do) {
	b.contractAuth(token, do)
	b.contractUsers(bearer(token), do)
	b.contractAPIKeys(bearer(token), do)

	do("refresh", "POST", "/v2/auth/refresh", tokenBody(token), apiKey(b.APIKey))
	do("refresh again", "POST", "/v2/auth/refresh", tokenBody(token), apiKey(b.APIKey))
	do("session of a superseded token", "POST", "/v2/auth/session", "", bearer(token))
	do("refresh without a token", "POST", "/v2/auth/refresh", `{}`)
	do("refresh with two tokens", "POST", "/v2/auth/refresh", `{"token":"a.b.c","refreshToken":"a.b.d"}`)
	do("logout by API key", "POST", "/v2/auth/logout", "", apiKey(b.APIKey))
	login := `{"username":"jsmith@example.com","password":"N3w$ecret!"}`
	pair := tokenOf(do("login with username", "POST", "/v2/auth/login", login))
	do("login with an API key", "POST", "/v2/auth/login", `{"apiKey":"`+b.APIKey+`"}`)
	pair = tokenOf(do("refresh with refreshToken", "POST", "/v2/auth/refresh", `{"refreshToken":"`+pair+`"}`))
	do("logout", "POST", "/v2/auth/logout", "", bearer(pair))
	again := tokenOf(do("login again", "POST", "/v2/auth/login", login))
	do("reset me", "POST", "/v2/users/reset/me", "", bearer(again))
	do("session after the reset", "POST", "/v2/auth/session", "", bearer(again))
	b.contractOpen(do)
	do("unknown path", "GET", "/v2/nothing", "")
	do("absent call, configuration", "POST", "/v2/users/update-config", `{"userId":4821}`)
	do("absent call, text messages", "POST", "/v2/users/send-sms", `{"userId":4821}`)
	do("path that is not clean", "GET", "/v2//auth/version", "")
	do("wrong method", "GET", "/v2/auth/refresh", "")
	do("audit without events", "GET", "/v2/audit?userId=9&kind=logout", "", b.admin())
	do("audit with a bad kind", "GET", "/v2/audit?kind=nothing", "", b.admin())
	do("audit with a bad time", "GET", "/v2/audit?from=yesterday", "", b.admin())
}

// tokenOf returns the token in the body of a response.
func tokenOf(text string) string {
	var envelope api.Envelope[api.Token]
	_ = json.Unmarshal([]byte(text), &envelope) // an error leaves the token empty, which the next call rejects
	return envelope.Data.Token
}

func (b *browser) contractAuth(token string, do do) {
	user, admin := bearer(token), b.admin()
	correct, wrong := credentials(pawltest.Login, pawltest.Password), credentials(pawltest.Login, "wrong")
	do("login", "POST", "/v2/auth/login", correct)
	do("login with a wrong password", "POST", "/v2/auth/login", wrong)
	do("login with an unknown login", "POST", "/v2/auth/login", credentials("nobody", "wrong"))
	do("login with a bad API key", "POST", "/v2/auth/login", correct, apiKey("bad"))
	do("session", "POST", "/v2/auth/session", "", user)
	do("session by API key", "POST", "/v2/auth/session", "", admin)
	do("session by both", "POST", "/v2/auth/session", "", user, admin)
	do("session without credentials", "POST", "/v2/auth/session", "")
	do("session by Basic", "POST", "/v2/auth/session", "", "Authorization: Basic eDp5")
	do("version", "GET", "/v2/auth/version", "")
	do("sessions", "POST", "/v2/auth/sessions", "", user)
	do("a page of all sessions", "POST", "/v2/auth/sessions", `{"all":true,"recordsPerPage":1}`, admin)
	do("sessions after the last page", "POST", "/v2/auth/sessions", `{"pageNo":9}`, user)
	do("too large a page of sessions", "POST", "/v2/auth/sessions", `{"recordsPerPage":501}`, user)
	do("sessions of a user and of all", "POST", "/v2/auth/sessions", `{"all":true,"userId":4821}`, admin)
	do("end all other sessions", "POST", "/v2/auth/sessions/end-all", `{"exceptCurrent":true}`, user)
	do("end an unknown session", "DELETE", "/v2/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA", "", user)
	do("end a session with a bad id", "DELETE", "/v2/auth/sessions/x", "", user)

	change := func(name, current, password, rest string) {
		body := `{"currentPassword":"` + current + `","newPassword":"` + password + `"` + rest + `}`
		do(name, "PUT", "/v2/auth/password", body, user)
	}
	change("change the password", "Sup3r$ecret!", "N3w$ecret!", `,"revokeOtherSessions":true`)
	change("change it with a wrong password", "Sup3r$ecret!", "N3w$ecret!", "")
	change("change it to a weak one", "N3w$ecret!", "weak", "")
	change("change it to a common one", "N3w$ecret!", "P@ssw0rd", "")
	do("other sessions have ended", "POST", "/v2/auth/sessions", "{}", user)
}

func (b *browser) contractOpen(do do) {
	open := func(name, body string) { do(name, "POST", openPath, body, b.admin()) }
	open("open a session", `{"externalId":"x|2","user":{"login":"opened"},"claims":{"plan":"gold"},"device":"phone"}`)
	open("open one with an actor", fmt.Sprintf(`{"login":"opened","actorId":%d}`, pawltest.AdminID))
	open("open one with an unknown actor", `{"login":"opened","actorId":999}`)
	open("open one for an unknown user", `{"login":"none"}`)
	open("open one for two users", `{"login":"opened","externalId":"x|2"}`)
	open("open one with a registered claim", `{"login":"opened","claims":{"sub":"1"}}`)
	open("open one that lives too long", `{"login":"opened","tokenLife":3601}`)
}

func (b *browser) contractUsers(user string, do do) {
	admin := b.admin()
	create := func(name, fields string) {
		do(name, "POST", "/v2/users", `{"password":"N3w$ecret!",`+fields+`}`, user)
	}
	create("create a user", `"login":"new@example.com","email":"new@example.com","firstName":"New"`)
	create("create with a bad email", `"login":"x@example.com","email":"x"`)
	create("create with a bad level", `"login":"x@example.com","authLevel":"King"`)
	do("get me", "GET", "/v2/users/me", "", user)
	do("get a user", "GET", "/v2/users/4823", "", user)
	do("get an unknown user", "GET", "/v2/users/9", "", user)
	do("get with a bad id", "GET", "/v2/users/x", "", user)
	do("list", "POST", "/v2/users/list", `{"authLevel":"MailboxUser"}`, user)
	do("list too many", "POST", "/v2/users/list", `{"recordsPerPage":501}`, user)
	do("by name", "POST", "/v2/users/by-name", `{"login":"New@Example.com"}`, user)
	do("by an unknown name", "POST", "/v2/users/by-name", `{"login":"none"}`, user)
	do("update", "PUT", "/v2/users", `{"userId":4823,"lastName":"User"}`, user)
	do("role", "POST", "/v2/users/role", `{"userId":4823,"authLevel":"TPUser"}`, user)
	noChange := `{"userId":4823,"authLevel":"NoChange","mailboxId":102}`
	do("role without a change", "POST", "/v2/users/role", noChange, admin)
	do("tenant", "POST", "/v2/users/set-network-mailbox", `{"userId":4823,"mailboxId":101}`, admin)
	password := `{"userId":4823,"newPassword":"An0ther$ecret"}`
	do("set a password", "POST", "/v2/users/password", password, admin)
	do("set a password as a MailboxAdmin", "POST", "/v2/users/password", password, user)
	do("generate a password", "POST", "/v2/users/generate-password", "", user)
	do("generate one that is too long", "POST", "/v2/users/generate-password", `{"length":129}`, user)
	do("create a user without a password", "POST", "/v2/users", `{"loginName":"x","externalId":"x|1"}`, user)
	create("create it twice", `"login":"NEW@example.com","email":"new@example.com"`)
	do("create the external id twice", "POST", "/v2/users", `{"login":"y","externalId":"x|1"}`, user)
	do("by external id", "POST", "/v2/users/by-name", `{"externalId":"x|1"}`, user)
	do("by nothing", "POST", "/v2/users/by-name", `{}`, user)
	do("list with a search", "POST", "/v2/users/list", `{"search":"New@"}`, user)
}

func (b *browser) contractAPIKeys(user string, do do) {
	do("generate an API key", "POST", "/v2/users/key-generate/4823", "", user)
	do("read an API key back", "GET", "/v2/users/key/4823", "")
	do("create an API key", "POST", "/v2/keys/create", `{"userId":4823,"visibility":"Shared"}`, user)
	do("create an API key without visibility", "POST", "/v2/keys/create", `{"userId":4823}`, user)
	do("list API keys", "POST", "/v2/keys/list", `{"userId":4823}`, user)
	do("list shared API keys", "POST", "/v2/keys/list", `{"userId":4823,"visibility":"Shared"}`, user)
	do("get the primary API key", "POST", "/v2/keys/get-key", `{"userId":4823}`, user)
	do("delete an API key", "DELETE", "/v2/keys", `{"keyId":4}`, user)
	do("delete it twice", "DELETE", "/v2/keys", `{"keyId":4}`, user)
	do("reset", "POST", "/v2/users/reset/4823", "", user)
	do("suspend", "PUT", "/v2/users", `{"userId":4823,"status":"Suspended"}`, user)
	do("suspend oneself", "PUT", "/v2/users", `{"userId":4821,"status":"Suspended"}`, user)
	do("a status that an update may not set", "PUT", "/v2/users", `{"userId":4823,"status":"Terminated"}`, user)
	do("terminate", "DELETE", "/v2/users/4823", "", user)
	do("terminate oneself", "DELETE", "/v2/users/4821", "", user)
}
