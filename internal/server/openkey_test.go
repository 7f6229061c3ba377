package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/trust"
	"github.com/pawlauth/pawl/pawltest"
)

// TestOpenSessionByExpiringKey checks that no session outlives the expiry of the API key that opened it, also beside a
// bearer and over a refresh. The removal of the API key leaves the session.
func TestOpenSessionByExpiringKey(t *testing.T) {
	p := startIDP(t, &trust.NewUser{})
	b := p.browser
	b.createUser(`"login":"ada"`)
	ends := b.Clock.Now().Add(10 * time.Minute).Truncate(time.Second)
	key := b.createKey(pawltest.UserID, fmt.Sprintf(`"scope":"OpenSessions","expiresAt":%q`,
		ends.UTC().Format(time.RFC3339)))
	header := apiKey(key.Key)
	tokens := []string{
		b.open(header, `{"login":"ada"}`).Token,
		b.expect(200, "", "POST", openPath, `{"login":"ada"}`, header, bearer(b.login())),
		p.grantAssertion(header),
	}
	b.Clock.Add(time.Minute)
	for i, token := range tokens {
		tokens[i] = b.refresh(200, token)
		if c := claimsOf(t, tokens[i]); c.Expires != ends.Unix() {
			t.Errorf("session %d: a token expires %d s after the API key", i, c.Expires-ends.Unix())
		}
	}
	b.expect(200, "", "DELETE", "/v2/keys", fmt.Sprintf(`{"keyId":%d}`, key.KeyID), b.admin())
	for i, token := range tokens {
		b.session(200, token)
		tokens[i] = b.refresh(200, token)
	}
	b.Clock.Add(9 * time.Minute)
	for _, token := range tokens {
		b.session(401, token)
		b.refresh(401, token)
	}
}

// TestSessionKeyOpensNothing checks that an API key of visibility Session opens no session, which would outlive it.
func TestSessionKeyOpensNothing(t *testing.T) {
	p := startIDP(t, &trust.NewUser{})
	b := p.browser
	b.createUser(`"login":"ada"`)
	owner := b.login()
	for _, scope := range []api.Scope{api.ScopeFull, api.ScopeOpenSessions} {
		body := fmt.Sprintf(`{"userId":%d,"visibility":"Session","scope":%q}`, pawltest.UserID, scope)
		key := apiKey(data[api.APIKey](b, "POST", "/v2/keys/create", body, bearer(owner)).Key)
		b.expect(403, api.CodeAccessDenied, "POST", openPath, `{"login":"ada"}`, key)
		b.expect(403, api.CodeAccessDenied, "POST", openPath, `{"login":"ada"}`, key, bearer(owner))
		p.grantError(400, "invalid_grant", assertionForm(p.assertion(nil)), key)
	}
}

// TestActorOfCaller checks which users a caller may name as the actor of a session: the caller, and users who are
// neither above the caller nor above the maxLevel of the API key.
func TestActorOfCaller(t *testing.T) {
	b := start(t)
	b.createUser(`"login":"ada","networkId":1,"mailboxId":101`)
	id := func(login, level string, network, mailbox int) int64 {
		return b.createUser(fmt.Sprintf(`"login":%q,"authLevel":%q,"networkId":%d,"mailboxId":%d`,
			login, level, network, mailbox)).UserID
	}
	peer := id("peer", "MailboxAdmin", 1, 101)
	above := id("above", "NetworkAdmin", 1, 101)
	elsewhere := id("elsewhere", "NetworkAdmin", 1, 7)
	root := int64(pawltest.AdminID)
	full := apiKey(b.APIKey)
	narrow := b.openKey()
	wide := apiKey(b.createKey(pawltest.UserID, `"scope":"OpenSessions","maxLevel":"MailboxAdmin"`).Key)
	self := int64(pawltest.UserID)
	for name, c := range map[string]struct {
		caller  []string
		actor   int64
		allowed bool
	}{
		"self":                          {[]string{full}, self, true},
		"self, by a narrow key":         {[]string{narrow}, self, true},
		"self, by a bearer":             {[]string{bearer(b.login())}, self, true},
		"peer":                          {[]string{full}, peer, true},
		"peer, by a bearer":             {[]string{bearer(b.login())}, peer, true},
		"peer, within maxLevel":         {[]string{wide}, peer, true},
		"peer, above maxLevel":          {[]string{narrow}, peer, false},
		"peer, above the second's":      {[]string{narrow, bearer(b.login())}, peer, false},
		"above":                         {[]string{full}, above, false},
		"above, by a bearer":            {[]string{bearer(b.login())}, above, false},
		"Root":                          {[]string{full}, root, false},
		"Root, by an OpenSessions key":  {[]string{wide}, root, false},
		"another mailbox":               {[]string{full}, elsewhere, false},
		"another mailbox, by its admin": {[]string{b.admin()}, elsewhere, true},
		"Root by Root":                  {[]string{b.admin()}, root, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := &browser{t, b.Server}
			status, code := 200, api.ErrorCode("")
			if !c.allowed {
				status, code = 403, api.CodeAccessDenied
			}
			b.expect(status, code, "POST", openPath, fmt.Sprintf(`{"login":"ada","actorId":%d}`, c.actor), c.caller...)
		})
	}
}
