package server_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// tokenHeader returns the JSON header of a token.
func tokenHeader(t testing.TB, text string) string {
	t.Helper()
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(header)
}

// writeSigningKey writes a new signing key to a file, as a JWK.
func writeSigningKey(t testing.TB, alg token.Algorithm) (key *token.Key, path string) {
	t.Helper()
	key, err := token.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return key, path
}

// TestAlgorithms checks tokens of each algorithm, and that a server rejects the tokens of another server.
func TestAlgorithms(t *testing.T) {
	other := ""
	for i, alg := range token.Algorithms {
		b := start(t, pawltest.WithAlgorithm(string(alg)))
		text := b.refresh(200, b.login())
		b.session(200, text)
		header := tokenHeader(t, text)
		if !strings.HasPrefix(header, fmt.Sprintf(`{"alg":"%s",`, alg)) {
			t.Errorf("%s: header %s", alg, header)
		}
		if strings.Contains(header, `"kid"`) != (alg != token.HS256) {
			t.Errorf("%s: header %s", alg, header)
		}
		if i > 0 {
			b.session(401, other)
		}
		other = text
	}
}

// TestSigningKeyFile checks that the first key of a signing key file signs.
func TestSigningKeyFile(t *testing.T) {
	var first *token.Key
	var texts []string
	for _, alg := range []token.Algorithm{token.EdDSA, token.HS256} {
		key, err := token.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		text, err := key.MarshalJWK()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = key
		}
		texts = append(texts, string(text))
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(`{"keys":[`+strings.Join(texts, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.SigningKeyFile = path }))
	if header := tokenHeader(t, b.refresh(200, b.login())); !strings.Contains(header, first.ID()) {
		t.Errorf("another key signed: %s", header)
	}
}

// TestRevokedAPIKey checks that a replaced and a deleted API key are rejected at once, and that a valid token does not
// help.
func TestRevokedAPIKey(t *testing.T) {
	b := start(t)
	b.expect(200, "", "POST", "/v2/auth/session", "", apiKey(b.APIKey))
	b.expect(200, "", "POST", "/v2/users/key-generate/4821", "", b.admin())
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", apiKey(b.APIKey))
	b.expect(200, "", "DELETE", "/v2/keys", `{"keyId":2}`, b.admin()) // deletes itself
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", b.admin())
	token := b.login()
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/session", "", b.admin(), bearer(token))
	b.expect(401, api.CodeInvalidAPIKey, "POST", "/v2/auth/refresh", tokenBody(token), b.admin())
	b.session(200, token)
}

// TestLoginFlood sends many more logins than may wait for a hash, and checks that some are answered and the others get
// 503 with Retry-After at once. Each login is for another account, because logins for one account wait for each other
// before they wait for a hash.
func TestLoginFlood(t *testing.T) {
	slow := pawltest.WithConfig(func(c *app.Config) { c.Argon2 = password.Params{MemoryKiB: 8 * 1024, Passes: 2} })
	b := start(t, trusting, slow)
	var mu sync.Mutex // guards statuses and late
	statuses, late := map[int]int{}, 0
	var group sync.WaitGroup
	hashing := min(runtime.GOMAXPROCS(0), runtime.NumCPU()) // 16 times as many may wait
	logins := 6 * 17 * hashing
	for i := range logins {
		group.Go(func() {
			from := fmt.Sprintf("X-Forwarded-For: 2001:db8:0:%x::1", i)
			resp, text := b.send("POST", "/v2/auth/login", credentials(fmt.Sprint("user", i), "wrong"), from)
			mu.Lock()
			defer mu.Unlock()
			statuses[resp.StatusCode]++
			if resp.StatusCode == 401 && statuses[503] > 0 {
				late++ // a waiting login is hashed after a rejection; at the deadline only those hashing would be left
			}
			if resp.StatusCode == http.StatusServiceUnavailable &&
				(resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "Unavailable")) {
				t.Errorf("%v %s", resp.Header, text)
			}
		})
	}
	group.Wait()
	if late <= 2*hashing || statuses[401]+statuses[503] != logins {
		t.Errorf("statuses %v, %d hashed after the first rejection", statuses, late)
	}
	b.login()
}
