package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// quickly lets a node follow its clock, and the store, at once.
func quickly(alg token.Algorithm) pawltest.Option {
	return pawltest.WithConfig(func(c *app.Config) { c.Algorithm, c.KeyReload = alg, 2*time.Millisecond })
}

func (b *browser) root() string { return "X-API-Key: " + b.AdminAPIKey }

func (b *browser) signingKeys() (keys []api.SigningKey) {
	b.Helper()
	_, text := b.send("POST", "/v2/signing-keys/list", "", b.root())
	envelope := api.Envelope[*[]api.SigningKey]{Data: &keys}
	if err := json.Unmarshal([]byte(text), &envelope); err != nil || len(keys) == 0 {
		b.Fatalf("%s: %v", text, err)
	}
	return keys
}

func (b *browser) states() string {
	b.Helper()
	states := ""
	for _, k := range b.signingKeys() {
		states += string(k.State) + " "
	}
	return strings.TrimSpace(states)
}

func (b *browser) awaitStates(want string) {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); b.states() != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("the keys are %s, want %s", b.states(), want)
		}
	}
}

func (b *browser) retire(status int, code api.ErrorCode, keyID string, now bool) {
	b.Helper()
	b.expect(status, code, "DELETE", "/v2/signing-keys", fmt.Sprintf(`{"keyId":%q,"now":%v}`, keyID, now), b.root())
}

// signer is the kid of a token; "" of one of HS256.
func signer(t testing.TB, text string) string {
	t.Helper()
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[0])
	var named struct{ Kid string }
	if err != nil || json.Unmarshal(header, &named) != nil {
		t.Fatalf("header %q: %v", header, err)
	}
	return named.Kid
}

// TestSigningKeyRotates: a new key signs after the lead, the old one verifies
// on, and is retired when its last token is over.
func TestSigningKeyRotates(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			b := start(t, quickly(alg))
			first := b.signingKeys()[0].KeyID
			kid := func(id string) string { // what tokens say of a key
				if alg == token.HS256 {
					return ""
				}
				return id
			}
			idle, busy := b.login(), b.login()
			b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.root())
			b.expect(400, api.CodeInvalidParameter, "POST", "/v2/signing-keys/rotate", "", b.root()) // one waits
			if got := b.states(); got != "Published Signing" {
				t.Fatalf("the keys are %s", got)
			}
			second := b.signingKeys()[0].KeyID
			b.Clock.Add(keyring.DefaultLead - time.Second)
			if busy = b.refresh(200, busy); signer(t, busy) != kid(first) {
				t.Error("the new key signs before its time")
			}
			b.Clock.Add(time.Second)
			b.awaitStates("Signing Verifying")
			if busy = b.refresh(200, busy); signer(t, busy) != kid(second) {
				t.Error("the new key does not sign")
			}
			b.session(200, idle)
			b.retire(400, api.CodeInvalidParameter, first, false) // its tokens are good
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

// TestSigningKeyLeaked: with now, every token of the key is over at once, and
// another key signs.
func TestSigningKeyLeaked(t *testing.T) {
	for _, alg := range []token.Algorithm{token.HS256, token.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			b := start(t, quickly(alg))
			leaked, text := b.signingKeys()[0].KeyID, b.login()
			b.retire(200, "", leaked, true)
			b.session(401, text)
			b.refresh(401, text)
			b.session(200, b.login())
			if got := b.states(); got != "Signing Retired" {
				t.Errorf("the keys are %s", got)
			}
			made := b.audit("kind=signingKeyMade", b.root())
			if len(made) != 1 || !strings.Contains(made[0].Detail, b.signingKeys()[0].KeyID) {
				t.Errorf("of the key that took over the audit says %+v", made)
			}
			b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.root())
			b.retire(400, api.CodeInvalidParameter, b.signingKeys()[0].KeyID, false) // it does not sign yet
			b.retire(200, "", b.signingKeys()[0].KeyID, true)                        // given up
			if at := b.signingKeys()[1].RetirableFrom; at != nil {
				t.Errorf("the key that signs on is over at %s", at)
			}
			b.Clock.Add(2 * keyring.DefaultLead)
			b.awaitStates("Retired Signing Retired")
			b.session(200, b.login())
		})
	}
}

func TestSigningKeysAreForRoot(t *testing.T) {
	b := start(t)
	keyID, key := b.signingKeys()[0].KeyID, "X-API-Key: "+b.APIKey
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/signing-keys/list", "", key)
	b.expect(403, api.CodeAccessDenied, "POST", "/v2/signing-keys/rotate", "", key)
	b.expect(403, api.CodeAccessDenied, "DELETE", "/v2/signing-keys", fmt.Sprintf(`{"keyId":%q,"now":true}`, keyID), key)
	b.expect(401, api.CodeInvalidSession, "POST", "/v2/signing-keys/rotate", "")
	b.expect(400, api.CodeInvalidParameter, "DELETE", "/v2/signing-keys", `{}`, b.root())
	if got := b.states(); got != "Signing" {
		t.Errorf("the keys are %s", got)
	}
}

// TestSigningKeysAreBounded: a token of HS256 is tried with each key.
func TestSigningKeysAreBounded(t *testing.T) {
	b := start(t, quickly(token.HS256))
	for range 7 {
		b.expect(200, "", "POST", "/v2/signing-keys/rotate", "", b.root())
		b.Clock.Add(keyring.DefaultLead)
	}
	b.expect(400, api.CodeInvalidParameter, "POST", "/v2/signing-keys/rotate", "", b.root())
}

func TestSigningKeyFileDoesNotRotate(t *testing.T) {
	key, err := token.GenerateKey(token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.SigningKeyFile = path }))
	for _, call := range [][3]string{{"POST", "/v2/signing-keys/rotate", ""}, {"DELETE", "/v2/signing-keys", fmt.Sprintf(`{"keyId":%q}`, key.ID())}} {
		resp, answer := b.send(call[0], call[1], call[2], b.root())
		if resp.StatusCode != 400 || !strings.Contains(answer, "--signing-key-file") {
			t.Errorf("%s: %d %s", call[1], resp.StatusCode, answer)
		}
	}
	if got := b.signingKeys(); len(got) != 1 || got[0].KeyID != key.ID() || got[0].State != "Signing" {
		t.Errorf("keys %+v", got)
	}
}
