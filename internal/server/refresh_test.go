package server_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/pawltest"
)

// TestRefreshSupersedesToken checks that a refresh invalidates its token at once, and that an early reuse of the
// superseded token changes nothing.
func TestRefreshSupersedesToken(t *testing.T) {
	b := start(t)
	first := b.login()
	b.session(200, first)
	second := b.refresh(200, first)
	b.session(401, first)
	b.session(200, second)
	b.refresh(401, first)
	b.session(200, second)
	third := b.refresh(200, second)
	b.refresh(401, first)
	b.session(200, third)
}

// TestRace checks that exactly one of a hundred concurrent refreshes of one token succeeds.
func TestRace(t *testing.T) {
	b := start(t)
	first := b.login()
	var mu sync.Mutex // guards tokens
	var tokens []string
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			resp, text := b.send("POST", "/v2/auth/refresh", tokenBody(first))
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
		t.Fatalf("%d refreshes succeeded, want 1", len(tokens))
	}
	b.session(200, tokens[0])
	b.session(401, first)
}

// TestReplay checks that a refresh with the same Idempotency-Key returns the same successor while it is current.
func TestReplay(t *testing.T) {
	b := start(t)
	first := b.login()
	second := b.refresh(200, first, "Idempotency-Key: k1")
	b.Clock.Add(119 * time.Second)
	if replayed := b.refresh(200, first, "Idempotency-Key: k1"); replayed != second {
		t.Error("the replay returned another token")
	}
	b.session(401, first)
	b.session(200, second)
	third := b.refresh(200, second, "Idempotency-Key: k2")
	b.refresh(401, first, "Idempotency-Key: k1") // the successor is superseded, but the replay was in this second
	b.session(200, third)
	b.Clock.Add(11 * time.Second)
	b.refresh(401, first, "Idempotency-Key: k1") // this is reuse
	b.session(401, third)
}

// TestReplayNeedsSameKey checks that a refresh without the winner's Idempotency-Key is not replayed, and that a late
// replay is reuse.
func TestReplayNeedsSameKey(t *testing.T) {
	b := start(t)
	first := b.login()
	second := b.refresh(200, first, "Idempotency-Key: k1")
	b.refresh(401, first, "Idempotency-Key: k2")
	b.refresh(401, first)
	b.session(200, second)
	b.Clock.Add(2 * time.Minute)
	b.refresh(401, first, "Idempotency-Key: k1")
	b.session(401, second)
}

// TestReplayWithoutKey checks that the policy permits replays without an Idempotency-Key for a limited time.
func TestReplayWithoutKey(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.ReplayWithoutKey = 5 * time.Second }))
	first := b.login()
	second := b.refresh(200, first)
	if replayed := b.refresh(200, first); replayed != second {
		t.Error("the replay returned another token")
	}
	b.Clock.Add(5 * time.Second)
	b.refresh(401, first)
	b.session(200, second)

	third := b.refresh(200, second, "Idempotency-Key: k1")
	if replayed := b.refresh(200, second); replayed != third {
		t.Error("the replay of a refresh with a key returned another token")
	}
	b.refresh(401, second, "Idempotency-Key: k2")
}

// TestReuseEndsSession checks that reuse ends the session only after the first 10 seconds, and that a superseded bearer
// token is not reuse.
func TestReuseEndsSession(t *testing.T) {
	b := start(t)
	first := b.login()
	second := b.refresh(200, first)
	b.Clock.Add(10 * time.Second)
	b.refresh(401, first)
	b.session(200, second)
	b.Clock.Add(time.Second)
	b.session(401, first)
	b.session(200, second)
	b.refresh(401, first)
	b.session(401, second)
	b.refresh(401, second)
}

// TestReuseAfterAnOutage loses the responses to a refresh for 28 seconds. When the replay is answered at last, another
// tab still has the superseded token, and is no thief. The window begins again only where a replay is answered.
func TestReuseAfterAnOutage(t *testing.T) {
	b := start(t)
	first := b.login()
	second := b.refresh(200, first, "Idempotency-Key: k1")
	b.Clock.Add(28 * time.Second)
	if again := b.refresh(200, first, "Idempotency-Key: k1"); again != second {
		t.Error("the replay is another token")
	}
	b.Clock.Add(10 * time.Second)
	b.refresh(401, first)
	b.session(200, second)
	third := b.refresh(200, second)
	b.refresh(401, first) // two generations back, and still within the window
	b.session(200, third)
	b.Clock.Add(time.Second)
	b.refresh(401, first)
	b.session(401, third)
}

// TestReuseOfOlderGeneration checks that the age of a superseded token counts from its own rotation, not from the last
// one.
func TestReuseOfOlderGeneration(t *testing.T) {
	b := start(t)
	first := b.login()
	second := b.refresh(200, first)
	b.Clock.Add(11 * time.Second)
	third := b.refresh(200, second)
	b.refresh(401, second)
	b.session(200, third)
	b.refresh(401, first)
	b.session(401, third)
}

// TestReuseAfterFrequentRefreshes checks that a thief who refreshes every few seconds is detected by the owner's reuse.
func TestReuseAfterFrequentRefreshes(t *testing.T) {
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

// TestReuseOfExpiredToken checks that an expired token is still detected as reuse.
func TestReuseOfExpiredToken(t *testing.T) {
	b := start(t)
	owner := b.login()
	b.Clock.Add(50 * time.Minute)
	thief := b.refresh(200, owner)
	b.Clock.Add(10 * time.Minute) // the owner's token expires
	b.session(200, thief)
	b.refresh(401, owner)
	b.session(401, thief)
}

// TestBearerGrace checks that only the immediate predecessor passes as a bearer token, only during the grace, and never
// for a refresh.
func TestBearerGrace(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.BearerGrace = 5 * time.Second }))
	first := b.login()
	second := b.refresh(200, first)
	b.session(200, first)
	b.refresh(401, first)
	third := b.refresh(200, second)
	b.session(401, first)
	b.session(200, second)
	b.Clock.Add(5 * time.Second)
	b.session(401, second)
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(third))
	b.session(401, third)
}

// TestBearerGraceEndsWithSession checks that a logout ends the grace too.
func TestBearerGraceEndsWithSession(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.BearerGrace = time.Minute }))
	first := b.login()
	second := b.refresh(200, first)
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(second))
	b.session(401, first)
}

// TestTokenLifeAndSessionLife checks that a refresh extends the token but not the session.
func TestTokenLifeAndSessionLife(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithSessionLife(100*time.Second))
	first := b.login()
	b.Clock.Add(59 * time.Second)
	second := b.refresh(200, first)
	b.Clock.Add(40 * time.Second)
	b.session(200, second)
	b.Clock.Add(time.Second) // 100 s after the login
	b.session(401, second)
	b.refresh(401, second)
}

// TestIdleLife checks that an expired token does not pass as a bearer, but can be refreshed until its idle time.
func TestIdleLife(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithIdleLife(time.Hour))
	first := b.login()
	b.Clock.Add(time.Minute)
	b.session(401, first)
	b.Clock.Add(time.Hour - time.Minute - time.Second)
	second := b.refresh(200, first)
	b.session(200, second)
	b.refresh(401, first)
	b.Clock.Add(time.Hour)
	b.refresh(401, second)
}

// TestIdleLifeAndSessionLife checks that no idle time goes past the end of the session.
func TestIdleLifeAndSessionLife(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithIdleLife(time.Hour),
		pawltest.WithSessionLife(90*time.Minute))
	first := b.login()
	b.Clock.Add(59 * time.Minute)
	second := b.refresh(200, first)
	b.Clock.Add(31 * time.Minute)
	b.refresh(401, second)
}

// TestIdleSession checks that a session past its token's exp is listed, can be revoked by its token, and ends.
func TestIdleSession(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithIdleLife(time.Hour))
	first, other := b.login(), b.login()
	b.Clock.Add(time.Minute)
	if list := data[[]api.Session](b, "POST", "/v2/auth/sessions", "", apiKey(b.APIKey)); len(list) != 2 {
		t.Errorf("%d sessions are listed, want 2", len(list))
	}
	form := []string{"Content-Type: application/x-www-form-urlencoded", apiKey(b.APIKey)}
	if _, text := b.send("POST", "/oauth2/introspect", "token="+first, form...); !strings.Contains(text, "false") {
		t.Errorf("an expired token is introspected as %s", text)
	}
	if resp, text := b.send("POST", "/oauth2/revoke", "token="+first, form...); resp.StatusCode != 200 {
		t.Errorf("revoke: %d %s", resp.StatusCode, text)
	}
	b.refresh(401, first)
	b.refresh(200, other)
}

// TestClockBackwards checks that setting the clock back does not make a superseded token valid.
func TestClockBackwards(t *testing.T) {
	b := start(t)
	first := b.login()
	b.Clock.Add(time.Minute)
	second := b.refresh(200, first)
	b.Clock.Add(-time.Hour)
	b.session(401, first)
	b.refresh(401, first)
	b.session(200, second)
	b.refresh(200, second)
}

// TestRefreshAPIKeyPolicy checks the status of a refresh with each kind of API key under each policy.
func TestRefreshAPIKeyPolicy(t *testing.T) {
	type statuses struct{ none, own, other, damaged int }
	for policy, want := range map[authority.RefreshAPIKeyPolicy]statuses{
		authority.APIKeyOptional: {none: 200, own: 200, other: 200, damaged: 401},
		authority.APIKeyRequired: {none: 401, own: 200, other: 200, damaged: 401},
		authority.APIKeyBound:    {none: 401, own: 200, other: 401, damaged: 401},
	} {
		t.Run(string(policy), func(t *testing.T) {
			b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.RefreshAPIKey = policy }))
			check := func(status int, headers ...string) {
				t.Helper()
				token := b.login()
				if status == 200 {
					b.refresh(200, token, headers...)
					return
				}
				b.expect(status, api.CodeInvalidAPIKey, "POST", "/v2/auth/refresh", tokenBody(token), headers...)
				b.session(200, token) // not superseded
			}
			check(want.none)
			check(want.own, apiKey(b.APIKey))
			check(want.other, b.admin())
			check(want.damaged, apiKey(b.APIKey[:20]))
		})
	}
}

// TestEndedSessions checks that each way to end a session rejects its token as a bearer and for a refresh.
func TestEndedSessions(t *testing.T) {
	b := start(t)
	setStatus := func(status string) string { return `{"userId":4821,"status":"` + status + `"}` }
	ended := func(method, path, body string, headers ...string) {
		t.Helper()
		token := b.login()
		if headers == nil {
			headers = []string{bearer(token)}
		}
		b.expect(200, "", method, path, body, headers...)
		b.session(401, token)
		b.refresh(401, token)
	}
	ended("POST", "/v2/auth/logout", "")
	ended("POST", "/v2/users/reset/4821", "", b.admin())

	token := b.login()
	ended("PUT", "/v2/users", setStatus("Suspended"), b.admin())
	b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password))
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", apiKey(b.APIKey))
	b.expect(200, "", "PUT", "/v2/users", setStatus("Active"), b.admin())
	b.session(401, token) // a suspension ends sessions permanently
	b.expect(200, "", "POST", "/v2/auth/session", "", apiKey(b.APIKey))

	ended("DELETE", "/v2/users/4821", "", b.admin())
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", apiKey(b.APIKey))
	b.expect(404, api.CodeObjectNotFound, "PUT", "/v2/users", setStatus("Active"), b.admin())
}

// TestSessionAPIKeyEndsWithSession checks that an API key of a session needs a bearer token to create it, and ends with
// its session.
func TestSessionAPIKeyEndsWithSession(t *testing.T) {
	b := start(t)
	token := b.login()
	const body = `{"userId":4821,"visibility":"Session"}`
	key := apiKey(data[api.APIKey](b, "POST", "/v2/keys/create", body, bearer(token)).Key)
	b.expect(200, "", "POST", "/v2/auth/session", "", key)
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/keys/create", body, apiKey(b.APIKey))
	b.expect(200, "", "POST", "/v2/auth/logout", "", bearer(token))
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", key)
}
