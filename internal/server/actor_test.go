package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// readCalls are the calls of openapi.yaml that change nothing on behalf of a caller. A login and a refresh change a
// session, but not with the rights of a caller: TestOpenAgainstSuspend and testRotateAgainstEnd cover them.
var readCalls = []string{
	"POST /v2/auth/login", "POST /v2/auth/refresh", "POST /v2/auth/session", "POST /v2/auth/sessions",
	"GET /v2/auth/version", "GET /v2/users/me", "GET /v2/users/{id}", "POST /v2/users/list", "POST /v2/users/by-name",
	"POST /v2/users/generate-password", "GET /v2/users/key/{id}", "GET /v2/audit", "POST /v2/keys/list",
	"POST /v2/keys/get-key", "POST /v2/signing-keys/list", "POST /oauth2/introspect", "GET /.well-known/jwks.json",
	"GET /.well-known/oauth-authorization-server", "GET /forward-auth", "GET /healthz", "GET /readyz",
	"POST /v2/users/update-config", "POST /v2/users/send-sms",
}

// writeCall is a call that changes something on behalf of its caller.
type writeCall struct {
	// level is the caller's; it is high enough for the call.
	level string
	// own is set if every user may make the call for themself, so that a demotion or a move takes no right away.
	own bool
	// oauth is set for a call in the form of OAuth: the caller has an API key, 400 is a refusal too (RFC 6749, 5.2),
	// and so is 200, because an invalid token is not an error (RFC 7009, 2.2). state shows what was done.
	oauth bool
	// prepare makes what the requests remove; nil if they remove nothing.
	prepare func(*actor)
	// request returns the path and the body of a request for a change. Each request differs from the ones before, so
	// that each of them shows in state.
	request func(*actor) (path, body string)
	// state returns what the call changes, as an administrator sees it; nil if no call shows it.
	state func(*actor) string
}

func (c writeCall) refused(status int) bool {
	return status == 401 || status == 403 || status == 404 || c.oauth && (status == 400 || status == 200)
}

// writeCalls has an entry for each call of openapi.yaml outside readCalls.
var writeCalls = map[string]writeCall{
	// A logout takes nothing but the caller's own right, so a late logout could change nothing.
	"POST /v2/auth/logout": {},
	"PUT /v2/auth/password": {level: "NetworkAdmin", own: true, request: func(*actor) (string, string) {
		return "/v2/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%[1]q}`, actorPassword)
	}},
	"DELETE /v2/auth/sessions/{sessionId}": {level: "NetworkAdmin",
		prepare: (*actor).addSessions, state: (*actor).targetSessions,
		request: func(a *actor) (string, string) { return "/v2/auth/sessions/" + a.nextSession(), "" }},
	"POST /v2/users": {level: "NetworkAdmin", state: (*actor).usersOfNetwork, request: func(a *actor) (string, string) {
		return "/v2/users", fmt.Sprintf(`{"login":"made%d-%d@example.com","password":"Sup3r$ecret!",`+
			`"email":"m@example.com","networkId":%[1]d,"mailboxId":1}`, a.network, a.next())
	}},
	"PUT /v2/users": {level: "NetworkAdmin", state: (*actor).target, request: func(a *actor) (string, string) {
		return "/v2/users", fmt.Sprintf(`{"userId":%d,"firstName":"N%d"}`, a.targetID, a.next())
	}},
	"DELETE /v2/users/{id}": {level: "NetworkAdmin", prepare: (*actor).addVictims, state: (*actor).usersOfNetwork,
		request: func(a *actor) (string, string) { return fmt.Sprint("/v2/users/", a.nextVictim()), "" }},
	"POST /v2/users/role": {level: "NetworkAdmin", state: (*actor).target, request: func(a *actor) (string, string) {
		level := []string{"MailboxUser", "TPUser"}[a.next()%2]
		return "/v2/users/role", fmt.Sprintf(`{"userId":%d,"authLevel":%q}`, a.targetID, level)
	}},
	"POST /v2/users/set-network-mailbox": {level: "NetworkAdmin", state: (*actor).target,
		request: func(a *actor) (string, string) {
			body := fmt.Sprintf(`{"userId":%d,"mailboxId":%d}`, a.targetID, 200+a.next())
			return "/v2/users/set-network-mailbox", body
		}},
	"POST /v2/users/password": {level: "NetworkAdmin", request: func(a *actor) (string, string) {
		return "/v2/users/password", fmt.Sprintf(`{"userId":%d,"newPassword":"N3xt!passw%d"}`, a.targetID, a.next())
	}},
	"POST /v2/users/reset/{id}": {level: "NetworkAdmin", prepare: (*actor).addSessions, state: (*actor).targetSessions,
		request: func(a *actor) (string, string) { return fmt.Sprint("/v2/users/reset/", a.targetID), "" }},
	"POST /v2/users/key-generate/{id}": {level: "NetworkAdmin", state: (*actor).targetKeys,
		request: func(a *actor) (string, string) {
			return fmt.Sprint("/v2/users/key-generate/", a.targetID), ""
		}},
	"POST /v2/keys/create": {level: "NetworkAdmin", state: (*actor).targetKeys,
		request: func(a *actor) (string, string) {
			return "/v2/keys/create", fmt.Sprintf(`{"userId":%d,"visibility":"Private"}`, a.targetID)
		}},
	"DELETE /v2/keys": {level: "NetworkAdmin", prepare: (*actor).addKeys, state: (*actor).targetKeys,
		request: func(a *actor) (string, string) {
			return "/v2/keys", fmt.Sprintf(`{"keyId":%d}`, a.nextKey())
		}},
	"POST /v2/signing-keys/rotate": {level: "Root", prepare: (*actor).retirePublished, state: (*actor).signingKeys,
		request: func(*actor) (string, string) { return "/v2/signing-keys/rotate", "" }},
	"DELETE /v2/signing-keys": {level: "Root", prepare: (*actor).addSigningKey, state: (*actor).signingKeys,
		request: func(a *actor) (string, string) {
			return "/v2/signing-keys", fmt.Sprintf(`{"keyId":%q,"now":true}`, a.signing)
		}},
	"POST /oauth2/revoke": {level: "NetworkAdmin", oauth: true,
		prepare: (*actor).addSessions, state: (*actor).targetSessions,
		request: func(a *actor) (string, string) {
			return "/oauth2/revoke", "token=" + url.QueryEscape(a.nextToken())
		}},
}

// loss is one way to end the rights of a caller.
type loss struct {
	// byKey is set if the caller has an API key, else the caller has a bearer token.
	byKey bool
	// rights is set if the caller stays signed in and loses only rights over others.
	rights  bool
	happens func(*actor)
}

var losses = map[string]loss{
	"logout": {happens: func(a *actor) { a.expect(200, "", "POST", "/v2/auth/logout", "", a.credentials) }},
	"refresh": {happens: func(a *actor) {
		a.expect(200, "", "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, a.token))
	}},
	"reset":                 {happens: (*actor).reset},
	"suspend":               {happens: (*actor).suspend},
	"suspend, by API key":   {happens: (*actor).suspend, byKey: true},
	"terminate":             {happens: (*actor).terminate},
	"terminate, by API key": {happens: (*actor).terminate, byKey: true},
	"demote":                {happens: (*actor).demote, rights: true},
	"demote, by API key":    {happens: (*actor).demote, rights: true, byKey: true},
	"move":                  {happens: (*actor).move, rights: true},
	"move, by API key":      {happens: (*actor).move, rights: true, byKey: true},
	"session ended":         {happens: (*actor).endSession},
	"API key removed":       {happens: (*actor).removeKey, byKey: true},
}

// TestEveryWriteIsInTheTable checks that each call of openapi.yaml is in writeCalls or in readCalls, so that a new call
// cannot be left out.
func TestEveryWriteIsInTheTable(t *testing.T) {
	var described []string
	for path, item := range apicheck.Model(t).Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().KeysFromOldest() {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	table := slices.AppendSeq(slices.Clone(readCalls), maps.Keys(writeCalls))
	slices.Sort(described)
	slices.Sort(table)
	if !slices.Equal(described, table) {
		t.Errorf("openapi.yaml has\n%q\nthe tables have\n%q", described, table)
	}
}

// TestHeldBody sends the headers of each write call and one byte of its body, ends the caller's rights, and sends the
// rest. The call must be refused, and must change nothing.
func TestHeldBody(t *testing.T) {
	forEachLoss(t, func(t *testing.T, a *actor, name string, call writeCall, happens func(*actor)) {
		path, body := call.request(a)
		if body == "" {
			t.Skip("the call has no body to hold")
		}
		before := a.seen(call)
		held := a.hold(name, path, body)
		happens(a)
		if status := held.finish(); !call.refused(status) {
			t.Errorf("answered %d after the caller lost the right", status)
		}
		if after := a.seen(call); after != before {
			t.Errorf("the call changed\n%s\ninto\n%s", before, after)
		}
	})
}

// TestLoopOfWrites repeats each write call on eight connections while the caller's rights end. From then on nothing may
// change, and every later request must be refused.
func TestLoopOfWrites(t *testing.T) {
	forEachLoss(t, func(t *testing.T, a *actor, name string, call writeCall, happens func(*actor)) {
		var lost atomic.Bool
		var group sync.WaitGroup
		answered := make(chan struct{}, loopConnections)
		method, _, _ := strings.Cut(name, " ")
		for range loopConnections {
			group.Go(func() {
				for late := 0; late < requestsAfterLoss; {
					path, body := call.request(a)
					beganLate := lost.Load()
					status := a.status(method, path, body)
					if beganLate {
						late++
						if !call.refused(status) {
							t.Errorf("a request that began after the caller lost the right is answered %d", status)
						}
					} else {
						select {
						case answered <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		for range loopConnections {
			<-answered
		}
		defer group.Wait() // also if the loss fails
		defer lost.Store(true)
		happens(a)
		lost.Store(true)
		before := a.seen(call)
		group.Wait()
		if after := a.seen(call); after != before {
			t.Errorf("after the caller lost the right, the calls changed\n%s\ninto\n%s", before, after)
		}
	})
}

const (
	loopConnections   = 8
	requestsAfterLoss = 2
	spareObjects      = 24 // sessions, API keys and users for a loop to remove
)

// forEachLoss runs a test for each write call and each way to lose the right to make it. The server is fresh for each
// call, the users are fresh for each run.
func forEachLoss(t *testing.T, run func(t *testing.T, a *actor, name string, call writeCall, happens func(*actor))) {
	for _, name := range slices.Sorted(maps.Keys(writeCalls)) {
		call := writeCalls[name]
		if call.request == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := startUnchecked(t)
			for i, lossName := range slices.Sorted(maps.Keys(losses)) {
				loss := losses[lossName]
				if call.oauth && !loss.byKey {
					continue // the call takes no bearer token
				}
				if loss.rights && (call.own || call.level == "Root" && strings.HasPrefix(lossName, "move")) {
					continue // the caller keeps the right
				}
				t.Run(lossName, func(t *testing.T) {
					a := newActor(&browser{t, b.Server}, call, loss.byKey, 100+i)
					run(t, a, name, call, loss.happens)
				})
			}
		})
	}
}

// startUnchecked is start without the check of the traffic against openapi.yaml, because the check reads a body whole
// before the server sees the request.
func startUnchecked(t testing.TB) *browser {
	var options []pawltest.Option
	if addr := os.Getenv(postgresVariable); addr != "" {
		options = append(options, pawltest.WithPostgres(newDatabase(t, addr)))
	}
	return &browser{t, pawltest.New(t, options...)}
}

const actorPassword = "Sup3r$ecret!"

// actor is a user who makes calls until the right to make them ends. Each actor has its own network, with a user as the
// target of the calls.
type actor struct {
	*browser
	network     int
	id          int64
	token       string // if the actor has no API key
	keyID       int64
	credentials string // a header
	targetID    int64

	counter  atomic.Int64
	spare    atomic.Int64
	sessions []string // ids of spare sessions of the target
	tokens   []string // of the same sessions
	keys     []int64  // spare API keys of the target
	victims  []int64  // spare users of the network
	signing  string   // a retirable signing key
}

func newActor(b *browser, call writeCall, byKey bool, network int) *actor {
	a := &actor{browser: b, network: network}
	a.id = a.newUser("actor", call.level)
	a.targetID = a.newUser("target", "MailboxUser")
	a.token = a.signIn("actor")
	a.credentials = "Authorization: Bearer " + a.token
	if byKey {
		var key api.APIKey
		a.data(&key, "POST", "/v2/keys/create", fmt.Sprintf(`{"userId":%d,"visibility":"Private"}`, a.id))
		a.keyID, a.credentials = key.KeyID, "X-API-Key: "+key.Key
	}
	if call.prepare != nil {
		call.prepare(a)
	}
	return a
}

func (a *actor) next() int64 { return a.counter.Add(1) }

// take returns an element of the spares, a different one at each call as long as there are more.
func take[T any](a *actor, spares []T) T { return spares[int(a.spare.Add(1)-1)%len(spares)] }

func (a *actor) nextSession() string { return take(a, a.sessions) }
func (a *actor) nextToken() string   { return take(a, a.tokens) }
func (a *actor) nextKey() int64      { return take(a, a.keys) }
func (a *actor) nextVictim() int64   { return take(a, a.victims) }

func (a *actor) addSessions() {
	for range spareObjects {
		a.tokens = append(a.tokens, a.signIn("target"))
	}
	for _, session := range a.sessionsOf(a.targetID) {
		a.sessions = append(a.sessions, session.SessionID)
	}
}

func (a *actor) addKeys() {
	for range spareObjects {
		var key api.APIKey
		a.data(&key, "POST", "/v2/keys/create", fmt.Sprintf(`{"userId":%d,"visibility":"Private"}`, a.targetID))
		a.keys = append(a.keys, key.KeyID)
	}
}

func (a *actor) addVictims() {
	for i := range spareObjects {
		a.victims = append(a.victims, a.newUser(fmt.Sprint("victim", i), "MailboxUser"))
	}
}

func (a *actor) addSigningKey() {
	a.retirePublished()
	a.expect(200, "", "POST", "/v2/signing-keys/rotate", "", a.admin())
	a.signing = a.browser.signingKeys()[0].KeyID
}

// retirePublished makes room for the next signing key.
func (a *actor) retirePublished() {
	for _, key := range a.browser.signingKeys() {
		if key.State == "Published" {
			a.retire(200, "", key.KeyID, true)
		}
	}
}

func (a *actor) login(name string) string { return fmt.Sprintf("%s%d@example.com", name, a.network) }

// newUser creates a user in the actor's network, as root.
func (a *actor) newUser(name, level string) int64 {
	a.Helper()
	var user api.User
	a.data(&user, "POST", "/v2/users", fmt.Sprintf(`{"login":%q,"password":%q,"email":"m@example.com","networkId":%d,`+
		`"mailboxId":1,"authLevel":%q}`, a.login(name), actorPassword, a.network, level))
	return user.UserID
}

func (a *actor) signIn(name string) string {
	a.Helper()
	body := fmt.Sprintf(`{"login":%q,"password":%q}`, a.login(name), actorPassword)
	return a.expect(200, "", "POST", "/v2/auth/login", body)
}

// data sends a request as root and reads the data of the answer.
func (a *actor) data(into any, method, path, body string) {
	a.Helper()
	resp, text := a.send(method, path, body, a.admin())
	envelope := api.Envelope[any]{Data: into}
	if err := json.Unmarshal([]byte(text), &envelope); err != nil || resp.StatusCode != http.StatusOK {
		a.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, text, err)
	}
}

func (a *actor) sessionsOf(userID int64) (sessions []api.Session) {
	a.Helper()
	a.data(&sessions, "POST", "/v2/auth/sessions", fmt.Sprintf(`{"userId":%d}`, userID))
	return sessions
}

// The losses.

func (a *actor) reset() {
	a.expect(200, "", "POST", fmt.Sprint("/v2/users/reset/", a.id), "", a.admin())
}

func (a *actor) suspend() {
	a.expect(200, "", "PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"status":"Suspended"}`, a.id), a.admin())
}

func (a *actor) terminate() {
	a.expect(200, "", "DELETE", fmt.Sprint("/v2/users/", a.id), "", a.admin())
}

func (a *actor) demote() {
	a.expect(200, "", "POST", "/v2/users/role", fmt.Sprintf(`{"userId":%d,"authLevel":"General"}`, a.id), a.admin())
}

func (a *actor) move() {
	body := fmt.Sprintf(`{"userId":%d,"networkId":7}`, a.id)
	a.expect(200, "", "POST", "/v2/users/set-network-mailbox", body, a.admin())
}

func (a *actor) endSession() {
	for _, session := range a.sessionsOf(a.id) {
		a.expect(200, "", "DELETE", "/v2/auth/sessions/"+session.SessionID, "", a.admin())
	}
}

func (a *actor) removeKey() {
	a.expect(200, "", "DELETE", "/v2/keys", fmt.Sprintf(`{"keyId":%d}`, a.keyID), a.admin())
}

// The functions below return the state changed by the calls, as Root sees it.

func (a *actor) seen(call writeCall) string {
	a.Helper()
	if call.state == nil {
		return ""
	}
	return call.state(a)
}

// show returns the data of an answer to root.
func (a *actor) show(method, path, body string) string {
	a.Helper()
	var data json.RawMessage
	a.data(&data, method, path, body)
	return string(data)
}

func (a *actor) target() string { return a.show("GET", fmt.Sprint("/v2/users/", a.targetID), "") }

func (a *actor) targetKeys() string {
	return a.show("POST", "/v2/keys/list", fmt.Sprintf(`{"userId":%d}`, a.targetID))
}

func (a *actor) targetSessions() string {
	return a.show("POST", "/v2/auth/sessions", fmt.Sprintf(`{"userId":%d}`, a.targetID))
}

// usersOfNetwork leaves out the actor, because the loss changes the actor.
func (a *actor) usersOfNetwork() string {
	var users []api.User
	a.data(&users, "POST", "/v2/users/list", fmt.Sprintf(`{"networkId":%d,"recordsPerPage":500}`, a.network))
	users = slices.DeleteFunc(users, func(u api.User) bool { return u.UserID == a.id })
	return fmt.Sprintf("%+v", users)
}

func (a *actor) signingKeys() string {
	var text strings.Builder
	for _, key := range a.browser.signingKeys() {
		fmt.Fprintln(&text, key.KeyID, key.State)
	}
	return text.String()
}

// status makes a call with the actor's credentials.
func (a *actor) status(method, path, body string) int {
	a.Helper()
	request, err := http.NewRequest(method, a.URL+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	name, value, _ := strings.Cut(a.credentials, ": ")
	request.Header.Set(name, value)
	if body != "" {
		request.Header.Set("Content-Type", mediaType(path))
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		a.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func mediaType(path string) string {
	if strings.HasPrefix(path, "/oauth2/") {
		return "application/x-www-form-urlencoded"
	}
	return "application/json"
}

// heldRequest is a request without the end of its body. The server has the rest.
type heldRequest struct {
	*actor
	conn   net.Conn
	reader *bufio.Reader
	rest   string
}

// hold sends the headers of a request, waits until the server asks for the body, and sends one byte of it.
func (a *actor) hold(name, path, body string) *heldRequest {
	a.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.URL, "http://"))
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { conn.Close() })
	method, _, _ := strings.Cut(name, " ")
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: pawl\r\n%s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"+
		"Expect: 100-continue\r\n\r\n", method, path, a.credentials, mediaType(path), len(body))
	reader := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; { // the lines of 100 Continue
		if line, err = reader.ReadString('\n'); err != nil {
			a.Fatalf("the server does not ask for the body: %v", err)
		}
	}
	if _, err := io.WriteString(conn, body[:1]); err != nil {
		a.Fatal(err)
	}
	return &heldRequest{actor: a, conn: conn, reader: reader, rest: body[1:]}
}

// finish sends the rest of the body and returns the status of the answer.
func (h *heldRequest) finish() int {
	h.Helper()
	if _, err := io.WriteString(h.conn, h.rest); err != nil {
		h.Fatal(err)
	}
	resp, err := http.ReadResponse(h.reader, nil)
	if err != nil {
		h.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
