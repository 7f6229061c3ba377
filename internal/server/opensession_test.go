package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/pawltest"
)

const openPath = "/v2/auth/sessions/open"

// optionalClaims are the claims that only some tokens have.
type optionalClaims struct {
	ExternalID string          `json:"externalId"`
	Act        *api.Actor      `json:"act"`
	Ext        json.RawMessage `json:"ext"`
	IssuedAt   int64           `json:"iat"`
	Expires    int64           `json:"exp"`
}

// claimsOf returns the claims of a token.
func claimsOf(t testing.TB, token string) (claims optionalClaims) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return claims
}

// open opens a session with an API key.
func (b *browser) open(key, body string) api.Token {
	b.Helper()
	return data[api.Token](b, "POST", openPath, body, key)
}

// openKey creates an API key of scope OpenSessions for the user, and returns its header.
func (b *browser) openKey() string {
	b.Helper()
	return apiKey(b.createKey(pawltest.UserID, `"scope":"OpenSessions"`).Key)
}

// TestOpenSession opens a session for a user who does not exist yet, and another one for the same user. Both have
// claims, which a refresh keeps and the introspection shows.
func TestOpenSession(t *testing.T) {
	b := start(t)
	key := b.openKey()
	first := b.open(key, `{"externalId":"idp|1","user":{"login":"ada@example.com","firstName":"Ada"},
		"claims":{"plan":"gold","n":12345678901234567890},"device":"phone","ip":"2001:db8::1","userAgent":"Browser/1"}`)
	user := data[api.User](b, "GET", fmt.Sprint("/v2/users/", first.UserID), "", b.admin())
	want := api.User{
		UserID: first.UserID, Login: "ada@example.com", FirstName: "Ada", ExternalID: "idp|1", NetworkID: 1,
		MailboxID: 101, AuthLevel: api.LevelMailboxUser, Status: api.StatusActive, Created: user.Created,
	}
	if user != want {
		t.Errorf("the new user is %+v, want %+v", user, want)
	}
	list := data[[]api.Session](b, "POST", "/v2/auth/sessions", `{}`, bearer(first.Token))
	if len(list) != 1 || list[0].IP != "2001:db8::1" || list[0].UserAgent != "Browser/1" {
		t.Errorf("the sessions are %+v", list)
	}
	second := b.open(key, `{"externalId":"idp|1","user":{"login":"other@example.com"}}`)
	if second.UserID != first.UserID {
		t.Errorf("the second session is of user %d, want %d", second.UserID, first.UserID)
	}
	for _, body := range []string{`{"login":"ADA@example.com"}`, fmt.Sprintf(`{"userId":%d}`, first.UserID)} {
		if got := b.open(b.admin(), body); got.UserID != first.UserID {
			t.Errorf("%s opens a session of user %d", body, got.UserID)
		}
	}
	const claims = `{"n":12345678901234567890,"plan":"gold"}`
	refreshed := b.refresh(200, first.Token)
	b.session(200, refreshed)
	for _, token := range []string{first.Token, refreshed} {
		if got := claimsOf(t, token); got.ExternalID != "idp|1" || string(got.Ext) != claims || got.Act != nil {
			t.Errorf("the token has the claims %+v", got)
		}
	}
	if got := claimsOf(t, second.Token); got.ExternalID != "idp|1" || got.Ext != nil {
		t.Errorf("the token of the second session has the claims %+v", got)
	}
	verify := b.createKey(pawltest.UserID, `"scope":"Verify"`).Key
	got := b.introspect(true, refreshed, verify)
	if got.ExternalID != "idp|1" || string(got.Extra) != claims || got.Actor != nil {
		t.Errorf("introspection %+v", got)
	}
}

// TestOpenSessionRace lets twenty callers open a session for one user who does not exist yet. There must be one user
// with twenty sessions.
func TestOpenSessionRace(t *testing.T) {
	b := start(t)
	key := b.openKey()
	var group sync.WaitGroup
	users := make([]int64, 20)
	for i := range users {
		group.Go(func() {
			users[i] = b.open(key, `{"externalId":"idp|1","user":{"login":"ada@example.com"}}`).UserID
		})
	}
	group.Wait()
	for _, id := range users {
		if id != users[0] {
			t.Fatalf("the sessions are of the users %v, want one user", users)
		}
	}
	body := fmt.Sprintf(`{"userId":%d}`, users[0])
	list := data[[]api.Session](b, "POST", "/v2/auth/sessions", body, b.admin())
	if len(list) != len(users) {
		t.Errorf("%d sessions, want %d", len(list), len(users))
	}
	made := 0
	for _, e := range b.audit("kind=userMade", b.admin()) {
		if *e.UserID == users[0] {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d events of the new user, want 1", made)
	}
}

// rivalStore lets another call create the same user before the first session with a new user is stored.
type rivalStore struct {
	app.Store
	once sync.Once
}

func (s *rivalStore) OpenSessionFor(
	ctx context.Context, r authority.Rights, o authority.Opening,
) (user *authority.User, ended []authority.EndedSession, err error) {
	if o.NewUser != nil {
		s.once.Do(func() {
			rival := o
			rival.ID[0]++
			user, ended, err = s.Store.OpenSessionFor(ctx, r, rival)
		})
	}
	if err != nil {
		return user, ended, err
	}
	return s.Store.OpenSessionFor(ctx, r, o)
}

// TestOpenSessionRival checks that a session whose user another call creates meanwhile is opened for that user.
func TestOpenSessionRival(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) {
		c.WrapStore = func(s app.Store) app.Store { return &rivalStore{Store: s} }
	}))
	token := b.open(b.openKey(), `{"externalId":"idp|1","user":{"login":"ada@example.com"}}`).Token
	b.session(200, token)
	if list := data[[]api.Session](b, "POST", "/v2/auth/sessions", `{}`, bearer(token)); len(list) != 2 {
		t.Errorf("the user has %d sessions, want one of each call", len(list))
	}
}

// badUsers are the bodies of requests without a right user, and the status and the beginning of the error. The ids are
// those of users who exist.
func badUsers(suspended, elsewhere int64) map[string]string {
	return map[string]string{
		``:                                     "400 userId, login or externalId: send exactly one",
		`"userId":4821,"login":"taken"`:        "400 userId, login or externalId: send exactly one",
		`"login":"taken","externalId":"taken"`: "400 userId, login or externalId: send exactly one",
		`"userId":-1`:                          "400 userId is missing",
		`"userId":999999`:                      "404 User not found",
		`"login":"nobody"`:                     "404 User not found",
		`"externalId":"nobody"`:                "404 User not found",
		fmt.Sprintf(`"userId":%d`, elsewhere):  "404 User not found",
		`"externalId":"elsewhere"`:             "404 User not found",
		`"externalId":"elsewhere","user":{"login":"new"}`:                        "400 The externalId belongs",
		`"externalId":"new","user":{"login":"taken"}`:                            "400 The login is taken",
		`"login":"new","user":{"externalId":"taken"}`:                            "400 The externalId belongs",
		`"userId":4821,"user":{"login":"new"}`:                                   "400 user cannot be created",
		`"login":"new","user":{"login":"another"}`:                               "400 user.login differs",
		`"externalId":"new","user":{"login":"a","externalId":"b"}`:               "400 user.externalId differs",
		`"externalId":"new","user":{}`:                                           "400 user.login is missing",
		`"login":"new","user":{"email":"x"}`:                                     "400 user.email is not",
		`"login":"new","user":{"password":"weak"}`:                               "400 user.password must have",
		`"login":"new","user":{"authLevel":"Boss"}`:                              "400 user.authLevel must",
		`"login":"new","user":{"authLevel":"Root"}`:                              "403 Your level",
		`"login":"new","user":{"authLevel":"MailboxAdmin"}`:                      "403 The user is above the maxLevel",
		`"login":"new","user":{"networkId":9}`:                                   "403 You do not administer",
		`"externalId":"` + strings.Repeat("x", 129) + `","user":{"login":"new"}`: "400 user.externalId must have",
		fmt.Sprintf(`"userId":%d`, pawltest.UserID):                              "403 The user is above the maxLevel",
		fmt.Sprintf(`"userId":%d`, pawltest.AdminID):                             "403 The user is above your level",
		fmt.Sprintf(`"userId":%d`, suspended):                                    "403 The user may not sign in",
	}
}

// badActors are the bodies of requests for the user taken with an actor who may not act for that user. All have the
// same error.
func badActors(actors ...int64) map[string]string {
	bad := map[string]string{}
	for _, id := range actors {
		bad[fmt.Sprintf(`"login":"taken","actorId":%d`, id)] = "403 actorId must be another user"
	}
	return bad
}

// badFields are the bodies of requests with another bad field.
func badFields() map[string]string {
	deep := strings.Repeat(`{"a":`, 9) + "1" + strings.Repeat("}", 9)
	return map[string]string{
		`"login":"taken","device":"` + strings.Repeat("x", 65) + `"`:         "400 device must have at most 64",
		`"login":"taken","ip":"localhost"`:                                   "400 ip must be an IPv4 or IPv6 address",
		`"login":"taken","ip":"fe80::1%eth0"`:                                "400 ip must be an IPv4 or IPv6 address",
		`"login":"taken","userAgent":"a\u0007"`:                              "400 userAgent must have",
		`"login":"taken","claims":[1]`:                                       "400 claims is not an object",
		`"login":"taken","claims":"x"`:                                       "400 claims is not an object",
		`"login":"taken","claims":{"a":"` + strings.Repeat("x", 1024) + `"}`: "400 claims is too large",
		`"login":"taken","claims":` + deep:                                   "400 claims is nested too deeply",
		`"login":"taken","claims":{"a":1,"a":2}`:                             "400 claims/a occurs twice",
		`"login":"taken","claims":{"a":{"b":1,"b":2}}`:                       "400 claims/a/b occurs twice",
		`"login":"taken","claims":{"sub":"1"}`:                               "400 claims must not have",
		`"login":"taken","claims":{"act":{}}`:                                "400 claims must not have",
		`"login":"taken","tokenLife":0`:                                      "400 tokenLife must be from 1 to 3600",
		`"login":"taken","tokenLife":3601`:                                   "400 tokenLife must be from 1 to 3600",
		`"login":"taken","tokenLife":"60"`:                                   "400 tokenLife must be an integer",
		`"login":"taken","idleLife":-1`:                                      "400 idleLife must be from 1 to 3600",
		`"login":"taken","sessionLife":9223372036854775807`:                  "400 sessionLife must be from 1 to",
		`"login":"taken","actorId":0`:                                        "400 actorId must be a positive integer",
		`"login":"new","user":{},"actorId":999999`:                           "403 actorId must be another user",
	}
}

// TestOpenSessionBadInput checks that a request with a bad field is refused with an error that names the field, and
// changes nothing.
func TestOpenSessionBadInput(t *testing.T) {
	g := startGated(t)
	b := g.browser
	taken := b.createUser(`"login":"taken","externalId":"taken"`).UserID
	plain := b.createUser(`"login":"plain"`).UserID
	distant := b.createUser(`"login":"distant","networkId":9,"authLevel":"NetworkAdmin"`).UserID
	suspended := b.createUser(`"login":"gone"`).UserID
	elsewhere := b.createUser(`"login":"elsewhere","networkId":9,"externalId":"elsewhere"`).UserID
	b.expect(200, "", "PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"status":"Suspended"}`, suspended), b.admin())
	key := b.openKey()
	bad := badUsers(suspended, elsewhere)
	maps.Copy(bad, badFields())
	maps.Copy(bad, badActors(999999, taken, plain, distant, suspended))
	for body, want := range bad {
		before := storetest.ReadDump(t, g.gate.Store)
		resp, text := b.send("POST", openPath, "{"+body+"}", key)
		var envelope api.Envelope[any]
		_ = json.Unmarshal([]byte(text), &envelope)
		if got := fmt.Sprint(resp.StatusCode, " ", envelope.Message); !strings.HasPrefix(got, want) {
			t.Errorf("%.200s: %s, want %s", body, got, want)
		}
		if changed := before.Changed(storetest.ReadDump(t, g.gate.Store)); len(changed) > 0 {
			t.Errorf("%.200s changed the %v", body, changed)
		}
	}
	b.expect(200, "", "POST", openPath, `{"login":"taken","claims":null,"user":null,"tokenLife":null,"ip":""}`, key)
}

// TestOpenSessionRights checks who may open a session.
func TestOpenSessionRights(t *testing.T) {
	b := start(t)
	plain, plainToken := b.addUser("plain@example.com", "MailboxUser", 1, 101)
	b.createUser(`"login":"peer"`)
	b.createUser(`"login":"low","authLevel":"General"`)
	for name, header := range map[string]string{"API key": apiKey(plain), "bearer": bearer(plainToken)} {
		if resp, text := b.send("POST", openPath, `{"login":"peer"}`, header); resp.StatusCode != 403 {
			t.Errorf("by the %s of a user who is no administrator: %d %s", name, resp.StatusCode, text)
		}
	}
	admin := b.login()
	b.expect(200, "", "POST", openPath, `{"login":"peer"}`, bearer(admin))
	b.expect(200, "", "POST", openPath, `{"login":"peer"}`, apiKey(b.APIKey))
	low := b.createKey(pawltest.UserID, `"scope":"OpenSessions","maxLevel":"TPUser"`)
	b.expect(200, "", "POST", openPath, `{"login":"low"}`, apiKey(low.Key))
	b.expect(403, api.CodeAccessDenied, "POST", openPath, `{"login":"peer"}`, apiKey(low.Key))
	b.expect(403, api.CodeAccessDenied, "POST", openPath, `{"login":"peer"}`, apiKey(low.Key), bearer(admin))
	made := b.open(apiKey(low.Key), `{"login":"new","user":{}}`)
	user := data[api.User](b, "GET", fmt.Sprint("/v2/users/", made.UserID), "", b.admin())
	if user.AuthLevel != api.LevelTPUser {
		t.Errorf("the user created with maxLevel TPUser is %s", user.AuthLevel)
	}
}

// TestOpenSessionLives checks that a session keeps its own, shorter lives over a refresh, and ends by its own
// sessionLife.
func TestOpenSessionLives(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(10*time.Minute))
	b.createUser(`"login":"ada"`)
	token := b.open(b.admin(), `{"login":"ada","tokenLife":60,"sessionLife":150}`).Token
	for range 2 {
		if c := claimsOf(t, token); c.Expires != c.IssuedAt+60 {
			t.Errorf("the token lives for %d s, want 60", c.Expires-c.IssuedAt)
		}
		b.Clock.Add(61 * time.Second)
		b.session(401, token)
		token = b.refresh(200, token) // because its idle time is that of the settings
	}
	if c := claimsOf(t, token); c.Expires != c.IssuedAt+28 {
		t.Errorf("the last token lives for %d s, want 28", c.Expires-c.IssuedAt)
	}
	b.Clock.Add(28 * time.Second)
	b.refresh(401, token)

	token = b.open(b.admin(), `{"login":"ada","idleLife":30}`).Token
	b.Clock.Add(30 * time.Second)
	b.session(401, token)
	b.refresh(401, token)
}

// refuseActor checks that a session with an actor is refused what an actor must not do.
func (b *browser) refuseActor(userID int64, token string) {
	b.Helper()
	for _, refused := range []struct{ method, path, body string }{
		{"PUT", "/v2/auth/password", `{"currentPassword":"x","newPassword":"An0ther$ecret"}`},
		{"POST", "/v2/keys/create", fmt.Sprintf(`{"userId":%d,"visibility":"Session"}`, userID)},
		{"POST", fmt.Sprint("/v2/users/key-generate/", userID), ""},
		{"POST", fmt.Sprint("/v2/users/reset/", userID), ""},
		{"DELETE", "/v2/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA", ""},
		{"POST", "/v2/users/role", fmt.Sprintf(`{"userId":%d,"authLevel":"TPUser"}`, userID)},
		{"PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"firstName":"x"}`, userID)},
	} {
		b.expect(403, api.CodeAccessDenied, refused.method, refused.path, refused.body, bearer(token))
	}
}

// TestActorSession opens a session in which another user acts. The tokens name the actor, and so does the audit in
// every event of the session. The session is refused what an actor must not do.
func TestActorSession(t *testing.T) {
	b := start(t)
	user := b.createUser(`"login":"ada"`)
	key := b.openKey()
	body := fmt.Sprintf(`{"login":"ada","actorId":%d}`, pawltest.UserID)
	actor := fmt.Sprint(pawltest.UserID)
	ended := make(map[api.EventKind]string) // the tokens of the sessions that ended so
	for _, kind := range []api.EventKind{api.EventLogout, api.EventSessionEnded, api.EventTheft} {
		ended[kind] = b.open(key, body).Token
	}
	token := b.refresh(200, ended[api.EventTheft])
	for _, text := range []string{token, ended[api.EventLogout]} {
		if c := claimsOf(t, text); c.Act == nil || c.Act.Subject != actor {
			t.Errorf("the claims are %+v, want the actor %s", c, actor)
		}
	}
	if got := b.introspect(true, token, b.AdminAPIKey); got.Actor == nil || got.Actor.Subject != actor {
		t.Errorf("introspection %+v", got)
	}
	b.refuseActor(user.UserID, token)
	b.expect(200, "", "GET", "/v2/users/me", "", bearer(token))

	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(ended[api.EventLogout]))
	b.send("POST", "/oauth2/revoke", "token="+ended[api.EventSessionEnded], b.admin(),
		"Content-Type: application/x-www-form-urlencoded")
	removed := b.open(key, body)
	list := data[[]api.Session](b, "POST", "/v2/auth/sessions", `{}`, bearer(removed.Token))
	current := list[slices.IndexFunc(list, func(s api.Session) bool { return s.Current })].SessionID
	b.expect(200, "", "DELETE", "/v2/auth/sessions/"+current, "", b.admin())
	b.Clock.Add(11 * time.Second)
	b.refresh(401, ended[api.EventTheft])
	b.open(key, body)
	b.Clock.Add(2 * time.Hour)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[api.EventKind]int{}
	for _, e := range b.audit(fmt.Sprint("userId=", user.UserID), b.admin()) {
		if e.SessionID == nil {
			continue
		}
		seen[e.Kind]++
		if e.ActorID == nil || *e.ActorID != pawltest.UserID {
			t.Errorf("the event %+v does not name the actor", e)
		}
		if e.Kind == api.EventLogin && (*e.CallerID != pawltest.UserID || !strings.Contains(e.Detail, "with key")) {
			t.Errorf("the event of the open is %+v", e)
		}
	}
	want := map[api.EventKind]int{api.EventLogin: 5, api.EventLogout: 1, api.EventSessionEnded: 3, api.EventTheft: 1}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("events %v, want %v", seen, want)
	}
}

// TestNoActorForOneself checks that no user acts for themself, not even an administrator: the audit would name a second
// person where there is one.
func TestNoActorForOneself(t *testing.T) {
	b := start(t)
	for id, caller := range map[int64]string{pawltest.AdminID: b.admin(), pawltest.UserID: apiKey(b.APIKey)} {
		b.expect(403, api.CodeAccessDenied, "POST", openPath, fmt.Sprintf(`{"userId":%d,"actorId":%[1]d}`, id), caller)
		b.expect(200, "", "POST", openPath, fmt.Sprintf(`{"userId":%d}`, id), caller)
	}
}
