package server_test

import (
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// readCalls are the calls of openapi.yaml that change nothing on behalf of a caller. A login and a refresh change a
// session, but not with the rights of a caller: TestOpenAgainstSuspend and testRotateAgainstEnd cover them.
var readCalls = []string{
	"POST /v2/auth/login", "POST /v2/auth/refresh", "POST /oauth2/token", "POST /v2/auth/session",
	"POST /v2/auth/sessions",
	"GET /v2/auth/version", "GET /v2/users/me", "GET /v2/users/{id}", "POST /v2/users/list", "POST /v2/users/by-name",
	"POST /v2/users/generate-password", "GET /v2/users/key/{id}", "GET /v2/audit", "POST /v2/keys/list",
	"POST /v2/keys/get-key", "POST /v2/signing-keys/list", "POST /oauth2/introspect", "GET /.well-known/jwks.json",
	"GET /v2/revocations", "POST /v2/receivers/list", "POST /v2/receivers/test",
	"GET /.well-known/oauth-authorization-server", "GET /forward-auth", "GET /healthz", "GET /readyz",
	"POST /v2/users/update-config", "POST /v2/users/send-sms",
}

// writeCall is a call that changes something on behalf of its caller.
type writeCall struct {
	// level is the caller's; it is high enough for the call.
	level string
	// scope is that of the caller's API key; empty is Full.
	scope api.Scope
	// own is set if every user may make the call for themself, so that a demotion or a move takes no right away.
	own bool
	// untargeted is set if the call changes no existing user, so that a change of the target takes no right away.
	untargeted bool
	// oauth is set for a call in the form of OAuth: the caller has an API key, 400 is a refusal too (RFC 6749, 5.2),
	// and so is 200, because an invalid token is not an error (RFC 7009, 2.2). The dumps show what was done.
	oauth bool
	// spare creates an object and returns its id for request. If the call removes no object, spare makes the call
	// possible again and returns ""; nil if the call is always possible.
	spare func(*actor) string
	// request returns the path and the body of a request for a change. Each request differs from the ones before, so
	// that each of them changes the rows of the store. The id is from spare.
	request func(a *actor, id string) (path, body string)
}

func (c writeCall) refused(status int) bool {
	return status == 401 || status == 403 || status == 404 || c.oauth && (status == 400 || status == 200)
}

// writeCalls has an entry for each call of openapi.yaml outside readCalls.
var writeCalls = map[string]writeCall{
	// A logout takes nothing but the caller's own right, so a late logout could change nothing.
	"POST /v2/auth/logout": {},
	"PUT /v2/auth/password": {level: "NetworkAdmin", own: true, untargeted: true,
		request: func(*actor, string) (string, string) {
			return "/v2/auth/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%[1]q}`, actorPassword)
		}},
	"POST /v2/auth/sessions/open": {level: "NetworkAdmin", scope: "OpenSessions",
		request: func(a *actor, _ string) (string, string) {
			return "/v2/auth/sessions/open", fmt.Sprintf(`{"userId":%d}`, a.targetID)
		}},
	"DELETE /v2/auth/sessions/{sessionId}": {level: "NetworkAdmin", spare: (*actor).addSession,
		request: func(_ *actor, id string) (string, string) { return "/v2/auth/sessions/" + id, "" }},
	"POST /v2/auth/sessions/end-all": {level: "NetworkAdmin", own: true, untargeted: true,
		request: func(*actor, string) (string, string) {
			return "/v2/auth/sessions/end-all", `{"exceptCurrent":true}` // so that the caller can repeat it
		}},
	"POST /v2/users": {level: "NetworkAdmin", untargeted: true, request: func(a *actor, _ string) (string, string) {
		return "/v2/users", fmt.Sprintf(`{"login":"made%d-%d@example.com","password":"Sup3r$ecret!",`+
			`"email":"m@example.com","networkId":%[1]d,"mailboxId":1}`, a.network, a.next())
	}},
	"PUT /v2/users": {level: "NetworkAdmin", request: func(a *actor, _ string) (string, string) {
		return "/v2/users", fmt.Sprintf(`{"userId":%d,"firstName":"N%d"}`, a.targetID, a.next())
	}},
	"DELETE /v2/users/{id}": {level: "NetworkAdmin", spare: (*actor).addVictim, untargeted: true,
		request: func(_ *actor, id string) (string, string) { return "/v2/users/" + id, "" }},
	"POST /v2/users/role": {level: "NetworkAdmin", request: func(a *actor, _ string) (string, string) {
		level := []string{"MailboxUser", "TPUser"}[a.next()%2]
		return "/v2/users/role", fmt.Sprintf(`{"userId":%d,"authLevel":%q}`, a.targetID, level)
	}},
	"POST /v2/users/set-network-mailbox": {level: "NetworkAdmin",
		request: func(a *actor, _ string) (string, string) {
			body := fmt.Sprintf(`{"userId":%d,"mailboxId":%d}`, a.targetID, 200+a.next())
			return "/v2/users/set-network-mailbox", body
		}},
	"POST /v2/users/password": {level: "NetworkAdmin", request: func(a *actor, _ string) (string, string) {
		return "/v2/users/password", fmt.Sprintf(`{"userId":%d,"newPassword":"N3xt!passw%d"}`, a.targetID, a.next())
	}},
	"POST /v2/users/reset/{id}": {level: "NetworkAdmin", spare: (*actor).addSession,
		request: func(a *actor, _ string) (string, string) { return fmt.Sprint("/v2/users/reset/", a.targetID), "" }},
	// The same write as reset/{id}, which cannot be repeated, because it ends the caller's session.
	"POST /v2/users/reset/me": {},
	"POST /v2/users/key-generate/{id}": {level: "NetworkAdmin",
		request: func(a *actor, _ string) (string, string) {
			return fmt.Sprint("/v2/users/key-generate/", a.targetID), ""
		}},
	"POST /v2/keys/create": {level: "NetworkAdmin",
		request: func(a *actor, _ string) (string, string) {
			return "/v2/keys/create", fmt.Sprintf(`{"userId":%d,"visibility":"Private"}`, a.targetID)
		}},
	"DELETE /v2/keys": {level: "NetworkAdmin", spare: (*actor).addKey,
		request: func(_ *actor, id string) (string, string) { return "/v2/keys", fmt.Sprintf(`{"keyId":%s}`, id) }},
	"POST /v2/signing-keys/rotate": {level: "Root", untargeted: true, spare: (*actor).retirePublished,
		request: func(*actor, string) (string, string) { return "/v2/signing-keys/rotate", "" }},
	"DELETE /v2/signing-keys": {level: "Root", untargeted: true, spare: (*actor).addSigningKey,
		request: func(_ *actor, id string) (string, string) {
			return "/v2/signing-keys", fmt.Sprintf(`{"keyId":%q,"now":true}`, id)
		}},
	"POST /v2/receivers/add": {level: "Root", untargeted: true, spare: (*actor).removeReceivers,
		request: func(a *actor, _ string) (string, string) { return "/v2/receivers/add", a.newReceiver() }},
	"DELETE /v2/receivers": {level: "Root", untargeted: true, spare: (*actor).addReceiver,
		request: func(_ *actor, id string) (string, string) {
			return "/v2/receivers", fmt.Sprintf(`{"receiverId":%q}`, id)
		}},
	"POST /oauth2/revoke": {level: "NetworkAdmin", oauth: true, spare: (*actor).addToken,
		request: func(_ *actor, id string) (string, string) {
			return "/oauth2/revoke", "token=" + url.QueryEscape(id)
		}},
}

// loss is one way to end the rights of a caller.
type loss struct {
	// byKey is set if the caller has an API key, else the caller has a bearer token.
	byKey bool
	// rights is set if the caller stays signed in and loses only rights over others.
	rights bool
	// target is set if the target changes, and the caller loses only rights over the target.
	target  bool
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
	"target promoted":       {happens: (*actor).promoteTarget, target: true, byKey: true},
	"target moved":          {happens: (*actor).moveTarget, target: true, byKey: true},
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
	forEachLoss(t, 1, func(t *testing.T, a *actor, name string, call writeCall, happens func(*actor)) {
		path, body := call.request(a, a.spare(call))
		if body == "" {
			t.Skip("the call has no body to hold")
		}
		held := a.hold(name, path, body)
		happens(a)
		before := a.dump()
		if status := held.finish(); !call.refused(status) {
			t.Errorf("answered %d after the caller lost the right", status)
		}
		a.wantUnchanged(before)
	})
}

// TestHeldAtStore holds each write call between the check of the authority and the transaction of the store, ends the
// caller's rights, and lets the call continue. The call must be refused, and must change nothing.
func TestHeldAtStore(t *testing.T) {
	forEachLoss(t, 1, func(t *testing.T, a *actor, name string, call writeCall, happens func(*actor)) {
		path, body := call.request(a, a.spare(call))
		method, _, _ := strings.Cut(name, " ")
		held := a.gate.hold(a.id)
		answered := held.start(t, func() int { return a.status(method, path, body) })
		happens(a)
		before := a.dump()
		held.release()
		if status := <-answered; !call.refused(status) {
			t.Errorf("answered %d after the caller lost the right", status)
		}
		a.wantUnchanged(before)
	})
}

// whole makes TestLoopOfWrites complete, as in "make torture".
var whole = flag.Bool("whole", false, "repeat each write call while each right ends; otherwise a fourth of the pairs")

// TestLoopOfWrites repeats each write call on eight connections while the caller's rights end. From then on nothing may
// change, and every later request must be refused. TestHeldAtStore finds more, but of one request at a time.
func TestLoopOfWrites(t *testing.T) {
	share := 4
	if *whole {
		share = 1
	}
	forEachLoss(t, share, func(t *testing.T, a *actor, name string, call writeCall, happens func(*actor)) {
		l := &loop{
			actor: a, call: call, reserve: a.spare(call), answered: make(chan struct{}, loopConnections),
		}
		var group sync.WaitGroup
		method, _, _ := strings.Cut(name, " ")
		for range loopConnections {
			group.Go(func() { l.run(method) })
		}
		for range loopConnections {
			<-l.answered
		}
		defer group.Wait() // also if the loss fails
		l.end(happens)
		before := a.dump()
		group.Wait()
		a.wantUnchanged(before)
	})
}

const (
	loopConnections   = 8
	requestsAfterLoss = 2
)

// loop repeats a write call on several connections.
type loop struct {
	*actor
	call     writeCall
	reserve  string        // the id of an object that only requests after the loss try to remove
	answered chan struct{} // receives for each answer to a request that began before the loss, up to its capacity

	making sync.RWMutex // shared while spares are made
	lost   bool         // whether the caller has lost the right; guarded by making
}

// end ends the caller's right.
func (l *loop) end(happens func(*actor)) {
	defer func() {
		l.making.Lock()
		defer l.making.Unlock()
		l.lost = true // also if the loss fails
	}()
	happens(l.actor)
}

// next returns the request to send, and whether the caller has lost the right already.
func (l *loop) next() (path, body string, late bool) {
	l.making.RLock()
	defer l.making.RUnlock()
	id := l.reserve
	if !l.lost {
		id = l.spare(l.call)
	}
	path, body = l.call.request(l.actor, id)
	return path, body, l.lost
}

// run sends requests one after the other until a few were sent after the loss.
func (l *loop) run(method string) {
	for left := requestsAfterLoss; left > 0; {
		path, body, late := l.next()
		status := l.status(method, path, body)
		if !late {
			select {
			case l.answered <- struct{}{}:
			default:
			}
			continue
		}
		left--
		if !l.call.refused(status) {
			l.Errorf("a request that began after the caller lost the right is answered %d", status)
		}
	}
}

// forEachLoss runs a test for each write call and each way to lose the right to make it, or for a share of these pairs.
// The server is fresh for each call, the users are fresh for each run.
func forEachLoss(
	t *testing.T, share int, run func(t *testing.T, a *actor, name string, call writeCall, happens func(*actor)),
) {
	for i, name := range slices.Sorted(maps.Keys(writeCalls)) {
		call := writeCalls[name]
		if call.request == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := startGated(t, pawltest.WithAlgorithm("ES256")) // a receiver cannot verify HS256
			for j, lossName := range slices.Sorted(maps.Keys(losses)) {
				loss := losses[lossName]
				if (i+j)%share != 0 || !loss.concerns(call, lossName) {
					continue
				}
				t.Run(lossName, func(t *testing.T) {
					a := newActor(&gated{&browser{t, s.Server}, s.gate}, call, loss.byKey, 100+j)
					run(t, a, name, call, loss.happens)
				})
			}
		})
	}
}

// concerns reports whether a caller loses the right to make a call.
func (l loss) concerns(call writeCall, name string) bool {
	switch {
	case call.oauth && !l.byKey: // the call takes no bearer token
		return false
	case l.rights && (call.own || call.level == "Root" && strings.HasPrefix(name, "move")):
		return false
	}
	return !l.target || !call.untargeted
}
