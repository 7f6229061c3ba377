package server_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/pawltest"
)

// gated is a browser of a server whose store can hold a write.
type gated struct {
	*browser
	gate *gate
}

// startGated runs a server without the check of the traffic against openapi.yaml, because the check reads a body whole
// before the server sees the request.
func startGated(t testing.TB, options ...pawltest.Option) *gated {
	g := &gate{}
	options = append(options, pawltest.WithConfig(func(c *app.Config) {
		c.WrapStore = func(s app.Store) app.Store {
			g.Store = s
			return g
		}
	}))
	if addr := os.Getenv(postgresVariable); addr != "" {
		options = append(options, pawltest.WithPostgres(newDatabase(t, addr)))
	}
	return &gated{&browser{t, pawltest.New(t, options...)}, g}
}

const actorPassword = "Sup3r$ecret!"

// actor is a user who makes calls until the right to make them ends. Each actor has its own network, with a user as the
// target of the calls.
type actor struct {
	*gated
	network     int
	id          int64
	token       string // if the actor has no API key
	keyID       int64
	credentials string // a header
	targetID    int64

	counter atomic.Int64
	signing sync.Mutex // held while a signing key is added or retired as a spare
}

func newActor(g *gated, call writeCall, byKey bool, network int) *actor {
	a := &actor{gated: g, network: network}
	a.id = a.newUser("actor", call.level)
	a.targetID = a.newUser("target", "MailboxUser")
	a.token = a.signIn("actor")
	a.credentials = bearer(a.token)
	if byKey {
		key := a.newKey(a.id, call.scope)
		a.keyID, a.credentials = key.KeyID, apiKey(key.Key)
	}
	return a
}

func (a *actor) next() int64 { return a.counter.Add(1) }

// spare makes what the next request of a call needs, and returns its id.
func (a *actor) spare(call writeCall) string {
	a.Helper()
	if call.spare == nil {
		return ""
	}
	return call.spare(a)
}

// addToken opens a session of the target and returns its token.
func (a *actor) addToken() string {
	a.Helper()
	return a.signIn("target")
}

// addSession opens a session of the target and returns its id.
func (a *actor) addSession() string {
	a.Helper()
	return idOf(a.browser, a.addToken())
}

// addKey creates an API key of the target.
func (a *actor) addKey() string {
	a.Helper()
	return fmt.Sprint(a.newKey(a.targetID, "").KeyID)
}

func (a *actor) newKey(userID int64, scope api.Scope) api.APIKey {
	a.Helper()
	return a.createKey(userID, fmt.Sprintf(`"scope":%q`, cmp.Or(scope, api.ScopeFull)))
}

// addVictim creates a user to terminate.
func (a *actor) addVictim() string {
	a.Helper()
	return fmt.Sprint(a.newUser(fmt.Sprint("victim", a.next(), "-"), "MailboxUser"))
}

// addSigningKey publishes a signing key.
func (a *actor) addSigningKey() string {
	a.Helper()
	a.signing.Lock()
	defer a.signing.Unlock()
	a.retireAllPublished()
	a.send("POST", "/v2/signing-keys/rotate", "", a.admin())
	return a.signingKeys()[0].KeyID
}

// retirePublished makes room for the next signing key.
func (a *actor) retirePublished() string {
	a.Helper()
	a.signing.Lock()
	defer a.signing.Unlock()
	a.retireAllPublished()
	return ""
}

// retireAllPublished retires the signing keys that do not sign yet. The caller of the test may retire one first.
func (a *actor) retireAllPublished() {
	a.Helper()
	for _, key := range a.signingKeys() {
		if key.State == "Published" {
			a.send("DELETE", "/v2/signing-keys", fmt.Sprintf(`{"keyId":%q,"now":true}`, key.KeyID), a.admin())
		}
	}
}

// newReceiver returns the body of a request for a receiver. The server connects to none at a private address.
func (a *actor) newReceiver() string {
	return fmt.Sprintf(`{"url":"https://127.0.0.1:1/%d/%d"}`, a.network, a.next())
}

// addReceiver adds a receiver.
func (a *actor) addReceiver() string {
	a.Helper()
	a.removeReceivers()
	return data[api.Receiver](a.browser, "POST", "/v2/receivers/add", a.newReceiver(), a.admin()).ReceiverID
}

// removeReceivers makes room for the next receivers. It leaves the oldest one to requests after the loss, and the
// newest ones to other requests.
func (a *actor) removeReceivers() string {
	a.Helper()
	receivers := data[[]api.Receiver](a.browser, "POST", "/v2/receivers/list", "", a.admin())
	for i, r := range receivers {
		if i == 0 || i >= len(receivers)-loopConnections {
			continue
		}
		a.send("DELETE", "/v2/receivers", fmt.Sprintf(`{"receiverId":%q}`, r.ReceiverID), a.admin())
	}
	return ""
}

func (a *actor) login(name string) string { return fmt.Sprintf("%s%d@example.com", name, a.network) }

// newUser creates a user in the actor's network.
func (a *actor) newUser(name, level string) int64 {
	a.Helper()
	body := fmt.Sprintf(`{"login":%q,"password":%q,"email":"m@example.com","networkId":%d,"mailboxId":1,`+
		`"authLevel":%q}`, a.login(name), actorPassword, a.network, level)
	return data[api.User](a.browser, "POST", "/v2/users", body, a.admin()).UserID
}

func (a *actor) signIn(name string) string {
	a.Helper()
	body := fmt.Sprintf(`{"login":%q,"password":%q}`, a.login(name), actorPassword)
	return a.expect(200, "", "POST", "/v2/auth/login", body)
}

// The losses. The administrator is the caller, except in a logout and a refresh.

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
	body := fmt.Sprintf(`{"userId":%d}`, a.id)
	for _, session := range data[[]api.Session](a.browser, "POST", "/v2/auth/sessions", body, a.admin()) {
		a.expect(200, "", "DELETE", "/v2/auth/sessions/"+session.SessionID, "", a.admin())
	}
}

func (a *actor) removeKey() {
	a.expect(200, "", "DELETE", "/v2/keys", fmt.Sprintf(`{"keyId":%d}`, a.keyID), a.admin())
}

func (a *actor) promoteTarget() {
	body := fmt.Sprintf(`{"userId":%d,"authLevel":"TechOps"}`, a.targetID)
	a.expect(200, "", "POST", "/v2/users/role", body, a.admin())
}

func (a *actor) moveTarget() {
	body := fmt.Sprintf(`{"userId":%d,"networkId":7}`, a.targetID)
	a.expect(200, "", "POST", "/v2/users/set-network-mailbox", body, a.admin())
}

// dump reads the rows of the store.
func (a *actor) dump() storetest.Dump {
	a.Helper()
	return storetest.ReadDump(a, a.gate.Store)
}

// wantUnchanged checks that no row of the store has changed.
func (a *actor) wantUnchanged(before storetest.Dump) {
	a.Helper()
	if changed := before.Changed(a.dump()); len(changed) > 0 {
		a.Errorf("after the caller lost the right, the call changed the %v", changed)
	}
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
