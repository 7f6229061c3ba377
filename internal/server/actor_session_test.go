package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// support is a support person who acts in sessions of a user, both in one network.
type support struct {
	*browser
	actor, user api.User
	token       string // of the actor's own session
}

func newSupport(b *browser, network int) *support {
	b.Helper()
	create := func(name string, level api.Level) api.User {
		return b.createUser(fmt.Sprintf(`"login":"%s%d","password":%q,"authLevel":%q,"networkId":%[2]d,"mailboxId":1`,
			name, network, pawltest.Password, level))
	}
	s := &support{browser: b, actor: create("actor", api.LevelNetworkAdmin), user: create("user", api.LevelMailboxUser)}
	s.token = b.expect(200, "", "POST", "/v2/auth/login", credentials(s.actor.Login, pawltest.Password))
	return s
}

// act opens a session of the user in which the actor acts.
func (s *support) act() string {
	s.Helper()
	return s.open(s.admin(), fmt.Sprintf(`{"userId":%d,"actorId":%d}`, s.user.UserID, s.actor.UserID)).Token
}

// change makes a call of the administrator that succeeds. The %d of its path or body is the id of a user.
func (s *support) change(id int64, method, path, body string) {
	s.Helper()
	name := func(text string) string { return strings.ReplaceAll(text, "%d", fmt.Sprint(id)) }
	s.expect(200, "", method, name(path), name(body), s.admin())
}

func (s *support) setStatus(id int64, status string) {
	s.Helper()
	s.change(id, "PUT", "/v2/users", `{"userId":%d,"status":"`+status+`"}`)
}

func (s *support) setLevel(id int64, level api.Level) {
	s.Helper()
	s.change(id, "POST", "/v2/users/role", `{"userId":%d,"authLevel":"`+string(level)+`"}`)
}

func (s *support) setNetwork(id int64, network int64) {
	s.Helper()
	s.change(id, "POST", "/v2/users/set-network-mailbox", fmt.Sprintf(`{"userId":%%d,"networkId":%d}`, network))
}

// actorLosses are the ways in which an actor loses the right to act, and how an administrator gives it back.
var actorLosses = map[string]struct {
	happens func(s *support)
	undo    func(s *support) // nil if there is nothing to give back
}{
	"suspended": {
		happens: func(s *support) { s.setStatus(s.actor.UserID, "Suspended") },
		undo:    func(s *support) { s.setStatus(s.actor.UserID, "Active") },
	},
	"suspended for a moment": {happens: func(s *support) {
		s.setStatus(s.actor.UserID, "Suspended")
		s.setStatus(s.actor.UserID, "Active")
	}},
	"terminated": {happens: func(s *support) { s.change(s.actor.UserID, "DELETE", "/v2/users/%d", "") }},
	"demoted": {
		happens: func(s *support) { s.setLevel(s.actor.UserID, api.LevelMailboxUser) },
		undo:    func(s *support) { s.setLevel(s.actor.UserID, api.LevelNetworkAdmin) },
	},
	"moved": {
		happens: func(s *support) { s.setNetwork(s.actor.UserID, 9999) },
		undo:    func(s *support) { s.setNetwork(s.actor.UserID, s.actor.NetworkID) },
	},
	"the user moved": {
		happens: func(s *support) { s.setNetwork(s.user.UserID, 9999) },
		undo:    func(s *support) { s.setNetwork(s.user.UserID, s.user.NetworkID) },
	},
	"the user promoted": {
		happens: func(s *support) { s.setLevel(s.user.UserID, api.LevelTechOps) },
		undo:    func(s *support) { s.setLevel(s.user.UserID, api.LevelMailboxUser) },
	},
	"reset": {happens: func(s *support) { s.change(s.actor.UserID, "POST", "/v2/users/reset/%d", "") }},
	"ended by the actor": {happens: func(s *support) {
		s.expect(200, "", "POST", "/v2/auth/sessions/end-all", `{"exceptCurrent":true}`, bearer(s.token))
	}},
	"password changed": {happens: func(s *support) {
		s.expect(200, "", "PUT", "/v2/auth/password", fmt.Sprintf(
			`{"currentPassword":%q,"newPassword":"An0ther$ecret","revokeOtherSessions":true}`, pawltest.Password),
			bearer(s.token))
	}},
}

// actorUses are the ways to use a token. Each fails the test unless the token is refused.
var actorUses = map[string]func(s *support, token string){
	"bearer":  func(s *support, token string) { s.session(401, token) },
	"refresh": func(s *support, token string) { s.refresh(401, token) },
	"grant": func(s *support, token string) {
		s.grantError(400, "invalid_grant", "grant_type=refresh_token&refresh_token="+token)
	},
	"sign-out": func(s *support, token string) {
		s.expect(401, api.CodeInvalidSession, "POST", "/v2/auth/logout", "", bearer(token))
	},
	"introspection": func(s *support, token string) { s.introspect(false, token, s.AdminAPIKey) },
	"forward-auth": func(s *support, token string) {
		if resp, _ := s.send("GET", "/forward-auth", "", bearer(token)); resp.StatusCode != http.StatusUnauthorized {
			s.Errorf("forward-auth answers %d", resp.StatusCode)
		}
	},
}

// TestActorLosesRight takes the right to act from an actor in each way, and uses the tokens of the sessions in which
// the actor acts. Each must be refused, even after the actor has the right again, and each session has an event.
func TestActorLosesRight(t *testing.T) {
	b := start(t)
	network := 100
	for name, loss := range actorLosses {
		network++
		t.Run(name, func(t *testing.T) {
			s := newSupport(&browser{t, b.Server}, network)
			other := newSupport(s.browser, network+1000).act()
			tokens := make(map[string]string)
			for use := range actorUses {
				tokens[use] = s.act()
				s.session(200, tokens[use])
			}
			late := s.act() // is used only after the actor has the right again
			loss.happens(s)
			for use, refused := range actorUses {
				refused(s, tokens[use])
			}
			if loss.undo != nil {
				loss.undo(s)
			}
			for use := range actorUses {
				s.session(401, tokens[use])
			}
			if name != "demoted" && name != "moved" && !strings.HasPrefix(name, "the user") {
				s.session(401, late)
			}
			s.session(200, other)
			events := s.audit(fmt.Sprintf("kind=sessionEnded&userId=%d", s.user.UserID), s.admin())
			events = slices.DeleteFunc(events, func(e api.Event) bool {
				return e.ActorID == nil || *e.ActorID != s.actor.UserID || e.SessionID == nil ||
					e.Detail != "the actor may no longer act in it"
			})
			if len(events) < len(actorUses) {
				t.Errorf("%d events name the actor of an ended session, want %d", len(events), len(actorUses))
			}
		})
	}
}

// TestActorKeepsRight checks that changes of an actor that take no right away leave the sessions in which the actor
// acts.
func TestActorKeepsRight(t *testing.T) {
	s := newSupport(start(t), 100)
	token := s.act()
	s.change(s.actor.UserID, "PUT", "/v2/users", `{"userId":%d,"firstName":"Sam","externalId":"x"}`)
	s.change(s.actor.UserID, "POST", "/v2/users/password", `{"userId":%d,"newPassword":"An0ther$ecret"}`)
	s.setLevel(s.actor.UserID, api.LevelNetOps)
	s.setNetwork(s.actor.UserID, 9999)
	s.setNetwork(s.user.UserID, 8888)
	s.expect(200, "", "POST", "/v2/auth/logout", "", bearer(s.token))
	s.session(200, token)
	token = s.refresh(200, token)
	s.session(200, token)
}

// TestActorAtTheWrite takes the right to act from an actor after a write of the session was permitted and before its
// transaction begins. The write must be refused.
func TestActorAtTheWrite(t *testing.T) {
	for name, loss := range map[string]func(s *support){
		"suspended": func(s *support) { s.setStatus(s.actor.UserID, "Suspended") },
		"demoted":   func(s *support) { s.setLevel(s.actor.UserID, api.LevelMailboxUser) },
		"moved":     func(s *support) { s.setNetwork(s.actor.UserID, 9999) },
	} {
		t.Run(name, func(t *testing.T) {
			g := startGated(t)
			s := newSupport(g.browser, 100)
			token := s.act()
			held := g.gate.hold(s.user.UserID)
			answered := held.start(t, func() int {
				resp, _ := s.send("POST", "/v2/auth/logout", "", bearer(token))
				return resp.StatusCode
			})
			loss(s)
			held.release()
			if status := <-answered; status != http.StatusUnauthorized {
				t.Errorf("answered %d", status)
			}
			if events := s.audit("kind=logout", s.admin()); len(events) != 0 {
				t.Errorf("the audit has %+v", events)
			}
		})
	}
}
