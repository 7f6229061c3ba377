package server_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// TestAlgorithms refreshes with each algorithm; a token of another server's key
// is refused.
func TestAlgorithms(t *testing.T) {
	before := ""
	for i, alg := range token.Algorithms {
		b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Algorithm = alg }))
		fresh := b.refresh(200, b.login())
		b.session(200, fresh)
		header, err := base64.RawURLEncoding.DecodeString(strings.Split(fresh, ".")[0])
		if err != nil || !strings.HasPrefix(string(header), fmt.Sprintf(`{"alg":"%s",`, alg)) {
			t.Errorf("%s: header %s, %v", alg, header, err)
		}
		if strings.Contains(string(header), `"kid"`) != (alg != token.HS256) {
			t.Errorf("%s: header %s", alg, header)
		}
		if i > 0 {
			b.session(401, before) // of another server
		}
		before = fresh
	}
}

func TestSigningKeyFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	key, err := token.GenerateKey(token.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	old, err := token.GenerateKey(token.HS256)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, k := range []*token.Key{key, old} {
		text, err := k.MarshalJWK()
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if err := os.WriteFile(path, []byte(`{"keys":[`+strings.Join(texts, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.SigningKeyFile = path }))
	fresh := b.refresh(200, b.login())
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(fresh, ".")[0])
	if !strings.Contains(string(header), key.ID()) {
		t.Errorf("signed by another key: %s", header)
	}
}

func TestRevokedKey(t *testing.T) {
	b := start(t)
	admin := "X-API-Key: " + b.AdminAPIKey
	b.expect(200, "", "POST", "/v2/auth/session", "", "X-API-Key: "+b.APIKey)
	b.expect(200, "", "POST", "/v2/users/key-generate/4821", "", admin)
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", "X-API-Key: "+b.APIKey) // replaced
	b.expect(200, "", "DELETE", "/v2/keys", `{"keyId":2}`, admin)                                // its own
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", admin)
	token := b.login()
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", admin, "Authorization: Bearer "+token) // both must be valid
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token), admin)
	b.session(200, token)
}

// TestLoginFlood offers many more sign-ins than may wait, each at an account of
// its own, as those of one account wait for each other before: some are
// answered, the others get 503 with Retry-After at once.
func TestLoginFlood(t *testing.T) {
	b := start(t, trusting, pawltest.WithConfig(func(c *app.Config) { c.Argon2 = password.Params{MemoryKiB: 8 * 1024, Passes: 2} }))
	var mu sync.Mutex // guards statuses and later
	statuses, later := map[int]int{}, 0
	var group sync.WaitGroup
	for i := range 500 {
		group.Go(func() {
			body, from := fmt.Sprintf(`{"login":"user%d","password":"wrong"}`, i), fmt.Sprintf("X-Forwarded-For: 2001:db8:0:%x::1", i)
			resp, text := b.send("POST", "/v2/auth/login", body, from)
			mu.Lock()
			defer mu.Unlock()
			statuses[resp.StatusCode]++
			if resp.StatusCode == 401 && statuses[503] > 0 {
				later++ // those that wait are hashed after others were refused: at the deadline none would be left
			}
			if resp.StatusCode == http.StatusServiceUnavailable && (resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "Unavailable")) {
				t.Errorf("%v %s", resp.Header, text)
			}
		})
	}
	group.Wait()
	if later < 10 || statuses[401]+statuses[503] != 500 {
		t.Errorf("statuses %v, %d hashed after the first was refused", statuses, later)
	}
	b.login()
}
