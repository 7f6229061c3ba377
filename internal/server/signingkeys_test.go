package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// keyLead is shorter than the life of a token, so that tokens outlive a rotation.
const keyLead = 5 * time.Minute

// fastReload makes a node read the signing keys and its clock every few milliseconds.
func fastReload(alg token.Algorithm) pawltest.Option {
	return pawltest.WithConfig(func(c *app.Config) {
		c.Algorithm = alg
		c.KeyReload = 2 * time.Millisecond
		c.KeyLead = keyLead
	})
}

func (b *browser) signingKeys() []api.SigningKey {
	b.Helper()
	keys := data[[]api.SigningKey](b, "POST", "/v2/signing-keys/list", "", b.admin())
	if len(keys) == 0 {
		b.Fatal("there are no signing keys")
	}
	return keys
}

// states returns the states of the signing keys, newest first.
func (b *browser) states() string {
	b.Helper()
	var states []string
	for _, k := range b.signingKeys() {
		states = append(states, string(k.State))
	}
	return strings.Join(states, " ")
}

func (b *browser) awaitStates(want string) {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); b.states() != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("the keys are %s, want %s", b.states(), want)
		}
	}
}

// retire retires a signing key, and checks the status of the call.
func (b *browser) retire(status int, code api.ErrorCode, keyID string, now bool) {
	b.Helper()
	body := fmt.Sprintf(`{"keyId":%q,"now":%v}`, keyID, now)
	b.expect(status, code, "DELETE", "/v2/signing-keys", body, b.admin())
}

// keyID returns the kid of a token. The kid is empty for HS256.
func keyID(t testing.TB, text string) string {
	t.Helper()
	var header struct{ Kid string }
	if err := json.Unmarshal([]byte(tokenHeader(t, text)), &header); err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

// TestSigningKeyRotation checks that a new key signs after the lead, and that the previous key verifies until its last
// token has expired and can then be retired.
func TestSigningKeyRotation(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			b := start(t, fastReload(alg))
			first := b.signingKeys()[0].KeyID
			kid := func(id string) string {
				if alg == token.HS256 {
					return ""
				}
				return id
			}
			idle, busy := b.login(), b.login()
			b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.admin())
			// A second rotation is rejected while a key waits for its lead.
			b.expect(400, api.CodeInvalidParameter, "POST", "/v2/signing-keys/rotate", "", b.admin())
			if got := b.states(); got != "Published Signing" {
				t.Fatalf("the keys are %s", got)
			}
			second := b.signingKeys()[0].KeyID
			b.Clock.Add(keyLead - time.Second)
			if busy = b.refresh(200, busy); keyID(t, busy) != kid(first) {
				t.Error("the new key signs before the end of its lead")
			}
			b.Clock.Add(time.Second)
			b.awaitStates("Signing Verifying")
			if busy = b.refresh(200, busy); keyID(t, busy) != kid(second) {
				t.Error("the new key does not sign")
			}
			b.session(200, idle)
			b.retire(400, api.CodeInvalidParameter, first, false) // because its tokens are still valid
			b.retire(400, api.CodeInvalidParameter, second, false)
			b.Clock.Add(40 * time.Minute)
			busy = b.refresh(200, busy)
			b.Clock.Add(25*time.Minute - time.Second)
			b.retire(400, api.CodeInvalidParameter, first, false)
			b.Clock.Add(time.Second)
			b.retire(200, "", first, false)
			b.retire(404, api.CodeObjectNotFound, first, false)
			b.session(401, idle)
			b.session(200, b.refresh(200, busy))
			if got := b.states(); got != "Signing Retired" {
				t.Errorf("the keys are %s", got)
			}
		})
	}
}

// TestSigningKeyOfIdleToken checks that a key stays for as long as its tokens can be refreshed, even though they no
// longer pass as a bearer.
func TestSigningKeyOfIdleToken(t *testing.T) {
	b := start(t, fastReload(token.EdDSA), pawltest.WithIdleLife(10*time.Hour))
	first, idle := b.signingKeys()[0].KeyID, b.login()
	b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.admin())
	b.Clock.Add(keyLead)
	b.awaitStates("Signing Verifying")
	b.Clock.Add(9 * time.Hour)
	b.retire(400, api.CodeInvalidParameter, first, false)
	if fresh := b.refresh(200, idle); keyID(t, fresh) == first {
		t.Error("the previous key signs")
	}
	b.Clock.Add(time.Hour + keyLead)
	b.retire(200, "", first, false)
}

// TestSigningKeyLeaked checks that retiring a key with now rejects all of its tokens at once, and that another key
// signs.
func TestSigningKeyLeaked(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			b := start(t, fastReload(alg))
			leaked, text := b.signingKeys()[0].KeyID, b.login()
			b.session(200, text) // the token is now cached as verified
			b.retire(200, "", leaked, true)
			b.session(401, text)
			b.refresh(401, text)
			b.session(200, b.login())
			if got := b.states(); got != "Signing Retired" {
				t.Errorf("the keys are %s", got)
			}
			created := b.audit("kind=signingKeyMade", b.admin())
			if len(created) != 1 || !strings.Contains(created[0].Detail, b.signingKeys()[0].KeyID) {
				t.Errorf("the audit has %+v for the new key", created)
			}
			b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.admin())
			waiting := b.signingKeys()[0].KeyID
			b.retire(400, api.CodeInvalidParameter, waiting, false)
			b.retire(200, "", waiting, true)
			if at := b.signingKeys()[1].RetirableFrom; at != nil {
				t.Errorf("the key that still signs is retirable from %s", at)
			}
			b.Clock.Add(2 * keyLead)
			b.awaitStates("Retired Signing Retired")
			b.session(200, b.login())
		})
	}
}

// TestSigningKeyRights checks that only a Root user may see and change the signing keys.
func TestSigningKeyRights(t *testing.T) {
	b := start(t)
	user := apiKey(b.APIKey)
	body := fmt.Sprintf(`{"keyId":%q,"now":true}`, b.signingKeys()[0].KeyID)
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/signing-keys/list", "", user)
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/signing-keys/rotate", "", user)
	b.expect(403, api.CodeAccessDenied, "DELETE", "/v2/signing-keys", body, user)
	b.expect(401, api.CodeInvalidSession, "POST", "/v2/signing-keys/rotate", "")
	b.expect(400, api.CodeInvalidParameter, "DELETE", "/v2/signing-keys", `{}`, b.admin())
	if got := b.states(); got != "Signing" {
		t.Errorf("the keys are %s", got)
	}
}

// TestMaxSigningKeys checks the limit on signing keys. The limit exists because each HS256 token is tried with each
// key.
func TestMaxSigningKeys(t *testing.T) {
	b := start(t, fastReload(token.HS256))
	for range 7 {
		b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.admin())
		b.Clock.Add(keyLead)
	}
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/signing-keys/rotate", "", b.admin())
}

// TestSigningKeyFileDoesNotRotate checks that the keys of a signing key file can be listed, but not changed.
func TestSigningKeyFileDoesNotRotate(t *testing.T) {
	key, path := writeSigningKey(t, token.ES256)
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.SigningKeyFile = path }))
	check := func(method, path, body string) {
		t.Helper()
		resp, text := b.send(method, path, body, b.admin())
		if resp.StatusCode != 400 || !strings.Contains(text, "--signing-key-file") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	check("POST", "/v2/signing-keys/rotate", "")
	check("DELETE", "/v2/signing-keys", fmt.Sprintf(`{"keyId":%q}`, key.ID()))
	got := b.signingKeys()
	if len(got) != 1 || got[0].KeyID != key.ID() || got[0].State != api.SigningKeySigning {
		t.Errorf("keys %+v", got)
	}
}
