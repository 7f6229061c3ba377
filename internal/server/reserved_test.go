package server_test

import (
	"fmt"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/trust"
	"github.com/pawlauth/pawl/pawltest"
)

// TestReservedExternalID checks that only a trusted issuer and callers who administer every tenant give a user an
// external id of the issuer, or take it away. Otherwise an administrator of one mailbox could create the user of an
// assertion first, and then use the session that the assertion opens.
func TestReservedExternalID(t *testing.T) {
	p := startIDP(t, &trust.NewUser{AuthLevel: "TPUser", NetworkID: 1, MailboxID: 101})
	b := p.browser
	p.grantAssertion(p.client)
	issued := data[[]api.User](b, "POST", "/v2/users/by-name", `{"externalId":"idp:user-7"}`, b.admin())[0].UserID
	plain := b.createUser(`"login":"plain","externalId":"plain"`).UserID
	networkAdmin, _ := b.addUser("network@example.com", "NetworkAdmin", 1, 101)
	callers := map[string][]string{
		"MailboxAdmin": {apiKey(b.APIKey)}, "MailboxAdmin's token": {bearer(b.login())},
		"NetworkAdmin": {apiKey(networkAdmin)}, "Root": {b.admin()},
	}
	calls := map[string]struct{ method, path, body string }{
		"create":           {"POST", "/v2/users", `{"login":"n%d","externalId":"idp:n%[1]d"}`},
		"create, in caps":  {"POST", "/v2/users", `{"login":"n%d","externalId":"IDP:n%[1]d"}`},
		"open":             {"POST", openPath, `{"externalId":"idp:n%d","user":{"login":"n%[1]d"}}`},
		"open, by a login": {"POST", openPath, `{"login":"n%d","user":{"externalId":"silent:n%[1]d"}}`},
		"give":             {"PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"externalId":"idp:n%%d"}`, plain)},
		"replace":          {"PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"externalId":"idp:n%%d"}`, issued)},
		"take away":        {"PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"externalId":""}`, issued)},
	}
	number := 0
	change := func(c struct{ method, path, body string }, credentials []string, allowed bool) {
		t.Helper()
		number++
		body := c.body
		if c.body != calls["take away"].body {
			body = fmt.Sprintf(c.body, number)
		}
		status, code := 200, api.ErrorCode("")
		if !allowed {
			status, code = 403, api.CodeAccessDenied
		}
		b.expect(status, code, c.method, c.path, body, credentials...)
	}
	for caller, credentials := range callers {
		if caller == "Root" {
			continue
		}
		for name, call := range calls {
			t.Log(caller, name)
			change(call, credentials, false)
		}
		same := fmt.Sprintf(`{"userId":%d,"externalId":"idp:user-7","firstName":"Ada"}`, issued)
		b.expect(200, "", "PUT", "/v2/users", same, credentials...)
		other := fmt.Sprintf(`{"userId":%d,"externalId":"plain"}`, plain)
		b.expect(200, "", "PUT", "/v2/users", other, credentials...)
		b.expect(200, "", "POST", openPath, `{"externalId":"idp:user-7"}`, credentials...)
	}
	open := apiKey(b.createKey(pawltest.UserID, `"scope":"OpenSessions"`).Key)
	change(calls["open"], []string{open}, false)
	if got := data[[]api.User](b, "POST", "/v2/users/list", `{"search":"n"}`, b.admin()); len(got) != 1 {
		t.Errorf("users were created: %+v", got)
	}
	for _, call := range calls {
		change(call, callers["Root"], true)
	}
}

// TestIssuerTenant checks that an assertion opens no session of a user outside the tenant of its issuer, such as one
// who had the external id before the server trusted the issuer.
func TestIssuerTenant(t *testing.T) {
	for name, c := range map[string]struct {
		create trust.NewUser
		tenant string
		opens  bool
	}{
		"the tenant":          {trust.NewUser{NetworkID: 3, MailboxID: 4}, `"networkId":3,"mailboxId":4`, true},
		"another mailbox":     {trust.NewUser{NetworkID: 3, MailboxID: 4}, `"networkId":3,"mailboxId":5`, false},
		"another network":     {trust.NewUser{NetworkID: 3, MailboxID: 4}, `"networkId":9,"mailboxId":4`, false},
		"the network":         {trust.NewUser{NetworkID: 3}, `"networkId":3,"mailboxId":5`, true},
		"outside the network": {trust.NewUser{NetworkID: 3}, `"networkId":9,"mailboxId":5`, false},
		"no tenant":           {trust.NewUser{}, `"networkId":9,"mailboxId":5`, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := startIDP(t, &c.create)
			user := p.createUser(`"login":"ada","externalId":"idp:user-7",` + c.tenant)
			if !c.opens {
				p.grantError(400, "invalid_grant", assertionForm(p.assertion(nil)), p.client)
				return
			}
			token := p.grantAssertion(p.client)
			if me := data[api.User](p.browser, "GET", "/v2/users/me", "", bearer(token)); me.UserID != user.UserID {
				t.Errorf("%+v", me)
			}
		})
	}
}

// TestTakenLoginOfIssuer takes the login of a user that an issuer will create. The user must get another login.
func TestTakenLoginOfIssuer(t *testing.T) {
	p := startIDP(t, &trust.NewUser{})
	p.createUser(`"login":"IDP:user-7"`)
	var users [2]api.User
	for i := range users {
		token := p.grantAssertion(p.client)
		users[i] = data[api.User](p.browser, "GET", "/v2/users/me", "", bearer(token))
	}
	if users[0].ExternalID != "idp:user-7" || users[0] != users[1] {
		t.Errorf("the assertions open sessions of %+v", users)
	}
}
