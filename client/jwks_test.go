package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// published is a Pawl with public keys that counts who reads them.
type published struct {
	*pawltest.Server
	reads, calls atomic.Int64
}

func publish(t *testing.T, options ...pawltest.Option) *published {
	p := &published{}
	count := pawltest.WithHandler(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.calls.Add(1)
			if r.URL.Path == "/.well-known/jwks.json" {
				p.reads.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	p.Server = pawltest.New(t, append([]pawltest.Option{pawltest.WithAlgorithm("ES256"), count}, options...)...)
	return p
}

// jwks checks tokens by the server's keys and clock.
func (p *published) jwks() *client.JWKS {
	return client.NewJWKS(p.Client(client.WithRetries(0)), client.JWKSConfig{Clock: p.Clock.Now})
}

func (p *published) login(t *testing.T) string {
	t.Helper()
	got, err := p.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	return got.Token
}

// check wants this of a token: nil, or an error of the contract.
func check(t *testing.T, what string, j *client.JWKS, text string, want error) {
	t.Helper()
	if _, err := j.Verify(t.Context(), text); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// TestMiddlewareJWKS: tokens are checked without Pawl, up to their exp, and keys
// with it.
func TestMiddlewareJWKS(t *testing.T) {
	for _, alg := range []token.Algorithm{token.ES256, token.EdDSA, token.RS256} {
		t.Run(string(alg), func(t *testing.T) {
			p := publish(t, pawltest.WithAlgorithm(string(alg)))
			c := p.Client(client.WithRetries(0))
			url := guarded(t, c, client.MiddlewareConfig{JWKS: p.jwks()})
			want := func(what string, status int, headers ...string) {
				t.Helper()
				if resp, text := ask(t, url, headers...); resp.StatusCode != status || status == 200 && text != "4821" {
					t.Errorf("%s: %d %s, want %d", what, resp.StatusCode, text, status)
				}
			}
			old := "Authorization: Bearer " + p.login(t)
			want("a good token", 200, old)
			if _, err := c.Refresh(t.Context(), strings.TrimPrefix(old, "Authorization: Bearer ")); err != nil {
				t.Fatal(err)
			}
			before := p.calls.Load()
			want("one that was refreshed", 200, old)
			if p.calls.Load() != before {
				t.Error("Pawl was asked about a token")
			}
			want("a damaged token", 401, old+"x")
			want("a key", 200, "X-Api-Key: "+p.APIKey)
			want("a bad key", 401, "X-Api-Key: x")
			want("that token, and a key with which Pawl is asked", 401, old, "X-Api-Key: "+p.APIKey)
			want("nothing", 401)
			p.Clock.Add(time.Hour - time.Second)
			want("before its exp", 200, old)
			p.Clock.Add(time.Second)
			want("at its exp", 401, old)
			p.Close()
			want("a key without Pawl", 503, "X-Api-Key: "+p.APIKey)
		})
	}
}

// TestJWKSCaller: what a token says.
func TestJWKSCaller(t *testing.T) {
	p := publish(t)
	caller, err := p.jwks().Verify(t.Context(), p.login(t))
	expires := api.NewTime(p.Clock.Now().Add(time.Hour))
	if err != nil || caller.ExpiresAt == nil || *caller.ExpiresAt != expires {
		t.Fatalf("%+v, %v", caller, err)
	}
	caller.ExpiresAt = nil
	if want := (api.SessionInfo{UserID: 4821, NetworkID: 1, MailboxID: 101, AuthLevel: "MailboxAdmin"}); caller != want {
		t.Errorf("%+v, want %+v", caller, want)
	}
}

// TestJWKSFollowsKeys: a key that was rotated in needs no restart, tokens of the
// one before pass on, and those of one that leaked do not for long.
func TestJWKSFollowsKeys(t *testing.T) {
	p := publish(t, pawltest.WithTokenLife(12*time.Hour))
	admin, j := p.Client(client.WithAPIKey(p.AdminAPIKey)), p.jwks()
	first := p.login(t)
	check(t, "the first key", j, first, nil)
	made, err := admin.RotateSigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Clock.Add(keyring.DefaultLead)
	if _, err := admin.SigningKeys(t.Context()); err != nil { // for which the server looks at the time
		t.Fatal(err)
	}
	second := p.login(t)
	if first[:strings.Index(first, ".")] == second[:strings.Index(second, ".")] {
		t.Fatal("the key is the same")
	}
	check(t, "the second key", j, second, nil)
	check(t, "the first key after the rotation", j, first, nil)
	if err := admin.RetireSigningKey(t.Context(), api.RetireSigningKeyRequest{KeyID: made.KeyID, Now: true}); err != nil {
		t.Fatal(err)
	}
	p.Clock.Add(5 * time.Second)
	check(t, "the key that followed at once", j, p.login(t), nil)
	check(t, "the key that leaked", j, second, client.ErrInvalidSession)
}

// TestJWKSReadsSeldom: tokens of unknown keys, which anyone can send, cost a read
// in 5 seconds, and good ones one in a minute.
func TestJWKSReadsSeldom(t *testing.T) {
	p := publish(t)
	j, good := p.jwks(), p.login(t)
	var together sync.WaitGroup
	for range 20 {
		together.Go(func() { check(t, "the first ones", j, good, nil) })
	}
	together.Wait()
	for i := range 20 {
		check(t, "an unknown key", j, sign(t, newKey(t, fmt.Sprint("key", i)), jose.ES256, "{}"), client.ErrInvalidSession)
	}
	if n := p.reads.Load(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
	p.Clock.Add(5 * time.Second)
	check(t, "an unknown key", j, sign(t, newKey(t, "x"), jose.ES256, "{}"), client.ErrInvalidSession)
	check(t, "an unknown key", j, sign(t, newKey(t, "y"), jose.ES256, "{}"), client.ErrInvalidSession)
	if n := p.reads.Load(); n != 2 {
		t.Errorf("%d reads, want 2", n)
	}
	p.Clock.Add(time.Minute)
	check(t, "a good token after a minute", j, good, nil)
	check(t, "and again", j, good, nil)
	if n := p.reads.Load(); n != 3 {
		t.Errorf("%d reads, want 3", n)
	}
}

// TestJWKSAfterAPause: a key that leaked is dropped before the next token, not
// after it.
func TestJWKSAfterAPause(t *testing.T) {
	p := publish(t)
	admin, j, leaked := p.Client(client.WithAPIKey(p.AdminAPIKey)), p.jwks(), p.login(t)
	check(t, "before", j, leaked, nil)
	keys, err := admin.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.RetireSigningKey(t.Context(), api.RetireSigningKeyRequest{KeyID: keys[0].KeyID, Now: true}); err != nil {
		t.Fatal(err)
	}
	p.Clock.Add(time.Minute)
	check(t, "after", j, leaked, client.ErrInvalidSession)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestJWKSWhilePawlHangs, by a clock of the test's: the keys that are known serve,
// after a second, and nobody waits for more than ten.
func TestJWKSWhilePawlHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, hangs := newKey(t, "a"), atomic.Bool{}
		set, err := json.Marshal(map[string]any{"keys": []any{key.Public()}})
		if err != nil {
			t.Fatal(err)
		}
		pawl := roundTrip(func(r *http.Request) (*http.Response, error) {
			if hangs.Load() {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answer(200, string(set))(), nil
		})
		j := client.NewJWKS(newClient(t, "http://pawl.example", client.WithHTTPClient(&http.Client{Transport: pawl})), client.JWKSConfig{})
		good := sign(t, key, jose.ES256, fmt.Sprintf(`{"iss":"pawl","aud":"pawl","sub":"7","exp":%d}`, time.Now().Add(time.Hour).Unix()))
		check(t, "while it answers", j, good, nil)
		time.Sleep(time.Minute)
		hangs.Store(true)
		for _, step := range []struct {
			what, token string
			takes       time.Duration
			want        error
		}{
			{"a key that is known", good, time.Second, nil},
			{"a key that is not", sign(t, newKey(t, "x"), jose.ES256, "{}"), 9 * time.Second, client.ErrUnavailable},
			{"soon after", good, 0, nil},
		} {
			began := time.Now()
			check(t, step.what, j, step.token, step.want)
			if took := time.Since(began); took != step.takes {
				t.Errorf("%s: %v, want %v", step.what, took, step.takes)
			}
		}
	})
}

// TestJWKSWhilePawlIsAway: the keys serve for an hour; without any, nobody can tell.
func TestJWKSWhilePawlIsAway(t *testing.T) {
	p := publish(t, pawltest.WithTokenLife(12*time.Hour))
	j, good := p.jwks(), p.login(t)
	check(t, "with Pawl", j, good, nil)
	empty := p.jwks()
	p.Close()
	p.Clock.Add(time.Hour - time.Second)
	check(t, "after less than an hour", j, good, nil)
	check(t, "a key that Pawl may have made since", j, sign(t, newKey(t, "x"), jose.ES256, "{}"), client.ErrUnavailable)
	p.Clock.Add(time.Second)
	check(t, "after an hour", j, good, client.ErrUnavailable)
	check(t, "never read", empty, good, client.ErrUnavailable)
	check(t, "never read, no token", empty, "x", client.ErrInvalidSession)
}

// TestJWKSWithoutPublicKeys: HS256 has none, and the error says what to do.
func TestJWKSWithoutPublicKeys(t *testing.T) {
	p := publish(t, pawltest.WithAlgorithm("HS256"))
	if err := p.jwks().Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "--algorithm ES256") {
		t.Error(err)
	}
	check(t, "HS256", p.jwks(), p.login(t), client.ErrInvalidSession)
	check(t, "another", p.jwks(), sign(t, newKey(t, "x"), jose.ES256, "{}"), client.ErrUnavailable)
}

func newKey(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	made, err := token.GenerateKey(token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.MarshalJWK()
	var key jose.JSONWebKey
	if err != nil || key.UnmarshalJSON(text) != nil {
		t.Fatal(err)
	}
	key.KeyID = id
	return key
}

// sign makes a token of any claims.
func sign(t *testing.T, key any, alg jose.SignatureAlgorithm, claims string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestJWKSRefuses: signatures and claims that are not quite right, with a key
// that would be.
func TestJWKSRefuses(t *testing.T) {
	key, other, confused := newKey(t, "a"), newKey(t, "a"), newKey(t, "confused")
	confused.Algorithm = "RS256" // says what its type cannot do
	sealing := newKey(t, "sealing")
	sealing.Use = "enc"
	public, secret := key.Public(), jose.JSONWebKey{Key: make([]byte, 32), KeyID: "secret", Algorithm: "HS256"}
	unknown := json.RawMessage(`{"kty":"new","kid":"n","alg":"ES256"}`)
	set, err := json.Marshal(map[string]any{"keys": []any{public, secret, unknown, confused.Public(), sealing.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization")+r.Header.Get("X-Api-Key") != "" {
			t.Error("the keys were asked for with credentials")
		}
		_, _ = w.Write(set)
	})
	j := client.NewJWKS(newClient(t, url, client.WithAPIKey("k"), client.WithBearer("b")), client.JWKSConfig{Issuer: "https://auth.example.com", Audience: "orders"})
	now := time.Now().Unix()
	says := func(change string) string { // a later member of the same name takes the place of the earlier one
		claims := map[string]any{"iss": "https://auth.example.com", "aud": "orders", "sub": "7", "iat": now, "exp": now + 600}
		if err := json.Unmarshal([]byte("{"+change+"}"), &claims); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(claims)
		return string(text)
	}
	for name, good := range map[string]string{
		"plain": says(``), "many audiences": says(`"aud":["x","orders"]`), "a clock a little ahead": says(fmt.Sprint(`"iat":`, now+30)),
	} {
		check(t, name, j, sign(t, key, jose.ES256, good), nil)
	}
	good := sign(t, key, jose.ES256, says(``))
	parts := strings.Split(good, ".")
	forged := jose.JSONWebKey{Key: asSecret(t, public), KeyID: "a"}
	for name, bad := range map[string]string{
		"another issuer":                sign(t, key, jose.ES256, says(`"iss":"pawl"`)),
		"another audience":              sign(t, key, jose.ES256, says(`"aud":"pawl"`)),
		"no audience":                   sign(t, key, jose.ES256, says(`"aud":null`)),
		"no exp":                        sign(t, key, jose.ES256, says(`"exp":null`)),
		"expired":                       sign(t, key, jose.ES256, says(fmt.Sprint(`"exp":`, now-1))),
		"not yet":                       sign(t, key, jose.ES256, says(fmt.Sprint(`"nbf":`, now+600))),
		"of the future":                 sign(t, key, jose.ES256, says(fmt.Sprint(`"iat":`, now+600))),
		"no subject":                    sign(t, key, jose.ES256, says(`"sub":null`)),
		"a subject that is no user":     sign(t, key, jose.ES256, says(`"sub":"x"`)),
		"a claim that is there twice":   sign(t, key, jose.ES256, strings.Replace(says(``), "{", `{"sub":"8",`, 1)),
		"another key of that id":        sign(t, other, jose.ES256, says(``)),
		"a key without an id":           sign(t, key.Key, jose.ES256, says(``)),
		"HS256 with the public key":     sign(t, forged, jose.HS256, says(``)),
		"HS256 with a published secret": sign(t, secret, jose.HS256, says(``)),
		"a key of another algorithm":    sign(t, jose.JSONWebKey{Key: confused.Key, KeyID: "confused"}, jose.ES256, says(``)),
		"a key for encryption":          sign(t, sealing, jose.ES256, says(``)),
		"a long one that is signed":     sign(t, key, jose.ES256, says(`"pad":"`+strings.Repeat("a", token.MaxLength)+`"`)),
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"alg none":                      "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9." + parts[1] + ".",
		"a long one":                    good + strings.Repeat("A", token.MaxLength),
		"JSON":                          `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"nothing":                       "",
	} {
		check(t, name, j, bad, client.ErrInvalidSession)
	}
}

// asSecret is a public key as bytes, which someone may take for a secret.
func asSecret(t *testing.T, key jose.JSONWebKey) []byte {
	t.Helper()
	text, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
