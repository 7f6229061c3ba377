package server_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// narrowCalls are the calls of openapi.yaml that are open to the API keys of each narrow scope. Every other call is
// closed to them.
var narrowCalls = map[api.Scope][]string{
	api.ScopeVerify: {
		"POST /oauth2/introspect", "GET /forward-auth", "POST /v2/auth/session", "GET /v2/revocations",
	},
	api.ScopeOpenSessions: {"POST /v2/auth/sessions/open", "POST /oauth2/token"},
}

// actorCalls are the calls that are open to a session with an actor.
var actorCalls = []string{
	"POST /v2/auth/logout", "POST /v2/auth/session", "POST /v2/auth/sessions", "GET /v2/users/me", "GET /v2/users/{id}",
	"POST /v2/users/list", "POST /v2/users/by-name", "GET /forward-auth",
}

// publicCalls read no credentials.
var publicCalls = []string{
	"GET /v2/auth/version", "GET /v2/users/key/{id}", "POST /v2/users/update-config", "POST /v2/users/send-sms",
	"GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server", "GET /healthz", "GET /readyz",
}

// createKey creates an API key with these JSON fields beside the visibility, as root.
func (b *browser) createKey(userID int64, fields string) api.APIKey {
	b.Helper()
	body := fmt.Sprintf(`{"userId":%d,"visibility":"Private",%s}`, userID, fields)
	return data[api.APIKey](b, "POST", "/v2/keys/create", body, b.admin())
}

// calls returns each call of openapi.yaml, such as "GET /v2/users/{id}".
func calls(t testing.TB) (names []string) {
	for path, item := range apicheck.Model(t).Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().KeysFromOldest() {
			names = append(names, strings.ToUpper(method)+" "+path)
		}
	}
	return names
}

// minimalCall returns the path and the body of a call whose fields are missing, so that the call changes nothing.
func minimalCall(name string) (method, path, body string) {
	method, path, _ = strings.Cut(name, " ")
	path = strings.ReplaceAll(strings.ReplaceAll(path, "{sessionId}", strings.Repeat("A", 22)), "{id}", "999999")
	if method != "GET" {
		body = "{}"
	}
	if strings.HasPrefix(path, "/oauth2/") {
		body = "token=x"
	}
	return method, path, body
}

// TestScopes makes every call with an API key of every scope. A call that is not open to the scope is refused before
// it reads its fields, so that a new call is closed to narrow API keys until it is opened to them.
func TestScopes(t *testing.T) {
	b := startGated(t).browser // because a call without its fields differs from openapi.yaml
	keys := map[api.Scope]string{api.ScopeFull: b.admin()}
	for scope := range narrowCalls {
		keys[scope] = apiKey(b.createKey(pawltest.AdminID, fmt.Sprintf(`"scope":%q`, scope)).Key)
	}
	for _, name := range calls(t) {
		method, path, body := minimalCall(name)
		for scope, key := range keys {
			if name == "POST /v2/auth/refresh" {
				body = tokenBody(b.login()) // because the token is checked before the API key
			}
			if name == "POST /oauth2/token" {
				body = "grant_type=refresh_token&refresh_token=" + b.login()
			}
			resp, text := b.send(method, path, body, key, "Content-Type: "+mediaType(path))
			refused := strings.Contains(text, "The scope of the API key does not allow this") || resp.StatusCode == 403
			open := slices.Contains(publicCalls, name) || slices.Contains(narrowCalls[scope], name)
			if refused == (open || scope == api.ScopeFull) {
				t.Errorf("%s with an API key of scope %s: %d %s", name, scope, resp.StatusCode, text)
			}
		}
	}
}

// TestActorCalls makes every call with a session with an actor. The calls below /oauth2 take no bearer of a session.
func TestActorCalls(t *testing.T) {
	b := startGated(t).browser
	open := fmt.Sprintf(`{"userId":%d,"actorId":%d}`, pawltest.UserID, pawltest.AdminID)
	for _, name := range calls(t) {
		method, path, body := minimalCall(name)
		if strings.HasPrefix(path, "/oauth2/") || path == "/v2/auth/login" || path == "/v2/auth/refresh" {
			continue
		}
		token := b.open(b.admin(), open).Token
		resp, text := b.send(method, path, body, bearer(token))
		refused := strings.Contains(text, "A session with an actor cannot do this") || resp.StatusCode == 403
		if refused == (slices.Contains(publicCalls, name) || slices.Contains(actorCalls, name)) {
			t.Errorf("%s with an actor: %d %s", name, resp.StatusCode, text)
		}
	}
}

// TestNarrowKeyBesideBearer checks that an API key of a narrow scope takes the rights from a bearer in the same
// request.
func TestNarrowKeyBesideBearer(t *testing.T) {
	b := start(t)
	key := apiKey(b.createKey(pawltest.UserID, `"scope":"Verify"`).Key)
	token := b.login()
	b.expect(200, "", "POST", "/v2/auth/session", "", bearer(token), key)
	b.expect(403, api.CodeAccessDenied, "GET", "/v2/users/me", "", bearer(token), key)
	b.expect(200, "", "GET", "/v2/users/me", "", bearer(token))
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password), key)
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/auth/refresh", tokenBody(token), key)
	b.refresh(200, token)
}

// TestKeyFields checks the fields of an API key that Pawl adds to the vendor's, on creation and in a list.
func TestKeyFields(t *testing.T) {
	b := start(t)
	expires := api.NewTime(b.Clock.Now().Add(time.Hour))
	key := b.createKey(pawltest.UserID, fmt.Sprintf(
		`"scope":"OpenSessions","maxLevel":"TPUser","name":"web server","expiresAt":%q`, expires))
	want := api.APIKey{
		KeyID: key.KeyID, UserID: pawltest.UserID, Visibility: api.VisibilityPrivate, Created: key.Created,
		Scope: api.ScopeOpenSessions, MaxLevel: api.LevelTPUser, Name: "web server", ExpiresAt: &expires,
	}
	list := data[[]api.APIKey](b, "POST", "/v2/keys/list", fmt.Sprintf(`{"userId":%d}`, pawltest.UserID), b.admin())
	for _, got := range []api.APIKey{key, list[1]} {
		got.Key = ""
		if asJSON(t, got) != asJSON(t, want) {
			t.Errorf("%s, want %s", asJSON(t, got), asJSON(t, want))
		}
	}
	if full := list[0]; full.Scope != api.ScopeFull || full.MaxLevel != "" || full.ExpiresAt != nil || full.Name != "" {
		t.Errorf("the primary API key is %+v", full)
	}
	if key := b.createKey(pawltest.UserID, `"scope":"OpenSessions"`); key.MaxLevel != api.LevelMailboxUser {
		t.Errorf("the default of maxLevel is %s, want MailboxUser", key.MaxLevel)
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestBadKeys checks that an API key with a bad field is not created, and that the error names the field.
func TestBadKeys(t *testing.T) {
	b := start(t)
	plain, _ := b.addUser("plain@example.com", "MailboxUser", 1, 101)
	plainID := data[api.User](b, "GET", "/v2/users/me", "", apiKey(plain)).UserID
	for _, bad := range []struct {
		userID  int64
		fields  string
		message string // how it begins
		status  int
	}{
		{pawltest.UserID, `"scope":"Everything"`, "scope must be one of", 400},
		{pawltest.UserID, `"scope":"full"`, "scope must be one of", 400},
		{pawltest.UserID, `"scope":"Verify","maxLevel":"General"`, "maxLevel requires scope OpenSessions", 400},
		{pawltest.UserID, `"maxLevel":"General"`, "maxLevel requires scope OpenSessions", 400},
		{pawltest.UserID, `"scope":"OpenSessions","maxLevel":"Boss"`, "maxLevel must be one of", 400},
		{pawltest.UserID, `"scope":"OpenSessions","maxLevel":"NetworkAdmin"`, "maxLevel is above", 403},
		{plainID, `"scope":"OpenSessions"`, "scope OpenSessions requires", 400},
		{pawltest.UserID, `"name":"` + strings.Repeat("x", 101) + `"`, "name must have", 400},
		{pawltest.UserID, `"expiresAt":"2020-01-01T00:00:00Z"`, "expiresAt must be in the future", 400},
		{pawltest.UserID, `"expiresAt":"1970-01-01T00:00:00Z"`, "expiresAt must be in the future", 400},
		{pawltest.UserID, `"expiresAt":"tomorrow"`, "expiresAt must be a time", 400},
		{pawltest.UserID, `"expiresAt":5`, "expiresAt must be a time", 400},
	} {
		body := fmt.Sprintf(`{"userId":%d,"visibility":"Private",%s}`, bad.userID, bad.fields)
		resp, text := b.send("POST", "/v2/keys/create", body, b.admin())
		if resp.StatusCode != bad.status || !strings.Contains(text, `"message":"`+bad.message) {
			t.Errorf("%s: %d %s, want %d %s", body, resp.StatusCode, text, bad.status, bad.message)
		}
	}
	for _, id := range []int64{pawltest.UserID, plainID} {
		list := data[[]api.APIKey](b, "POST", "/v2/keys/list", fmt.Sprintf(`{"userId":%d}`, id), b.admin())
		if len(list) != 1 {
			t.Errorf("user %d has the API keys %+v, want the primary one alone", id, list)
		}
	}
}

// TestExpiredKey checks that an API key is refused from its expiry on and left out of lists, and that it cannot create
// one that outlives it.
func TestExpiredKey(t *testing.T) {
	b := start(t)
	expires := api.NewTime(b.Clock.Now().Add(time.Hour))
	key := apiKey(b.createKey(pawltest.UserID, fmt.Sprintf(`"expiresAt":%q`, expires)).Key)
	create := func(status int, code api.ErrorCode, fields string) {
		t.Helper()
		body := fmt.Sprintf(`{"userId":%d,"visibility":"Private"%s}`, pawltest.UserID, fields)
		b.expect(status, code, "POST", "/v2/keys/create", body, key)
	}
	create(403, api.CodeAccessDenied, "")
	create(403, api.CodeAccessDenied, fmt.Sprintf(`,"expiresAt":%q`, api.NewTime(expires.Add(time.Second))))
	create(200, "", fmt.Sprintf(`,"expiresAt":%q`, expires))
	b.expect(403, api.CodeAccessDenied, "POST", fmt.Sprint("/v2/users/key-generate/", pawltest.UserID), "", key)
	b.expect(200, "", "POST", "/v2/auth/session", "", key)
	b.Clock.Add(time.Hour)
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", key)
	list := data[[]api.APIKey](b, "POST", "/v2/keys/list", fmt.Sprintf(`{"userId":%d}`, pawltest.UserID), b.admin())
	if len(list) != 1 {
		t.Errorf("the list has %+v, want the primary API key alone", list)
	}
}
