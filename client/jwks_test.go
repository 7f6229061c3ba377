package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// published is a Pawl with public keys and a count of its requests.
type published struct {
	*pawltest.Server
	requests atomic.Int64
	reads    atomic.Int64 // requests for the JWK set
}

func publish(t *testing.T, options ...pawltest.Option) *published {
	p := &published{}
	count := pawltest.WithHandler(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.requests.Add(1)
			if r.URL.Path == "/.well-known/jwks.json" {
				p.reads.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	p.Server = pawltest.New(t, append([]pawltest.Option{pawltest.WithAlgorithm("ES256"), count}, options...)...)
	return p
}

// jwks returns a JWKS with the server's keys and clock.
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

// check verifies a token and compares the error with want: nil or an error of the contract.
func check(t *testing.T, step string, j *client.JWKS, text string, want error) {
	t.Helper()
	if _, err := j.Verify(t.Context(), text); !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", step, err, want)
	}
}

// TestMiddlewareJWKS checks that Middleware verifies tokens without Pawl until their exp, and asks Pawl about API keys.
func TestMiddlewareJWKS(t *testing.T) {
	for _, algorithm := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			p := publish(t, pawltest.WithAlgorithm(algorithm))
			c := p.Client(client.WithRetries(0))
			url := guarded(t, c, client.MiddlewareConfig{JWKS: p.jwks()})
			want := func(step string, status int, headers ...string) {
				t.Helper()
				resp, text := ask(t, url, headers...)
				if resp.StatusCode != status || status == 200 && text != "4821" {
					t.Errorf("%s: %d %s, want %d", step, resp.StatusCode, text, status)
				}
			}
			token, apiKey := p.login(t), "X-Api-Key: "+p.APIKey
			bearer := "Authorization: Bearer " + token
			want("valid token", 200, bearer)
			if _, err := c.Refresh(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			before := p.requests.Load()
			want("superseded token", 200, bearer)
			if p.requests.Load() != before {
				t.Error("Middleware asked Pawl about a token")
			}
			want("damaged token", 401, bearer+"x")
			want("API key", 200, apiKey)
			want("wrong API key", 401, "X-Api-Key: x")
			want("superseded token with an API key, so that Pawl is asked", 401, bearer, apiKey)
			want("no credentials", 401)
			p.Clock.Add(time.Hour - time.Second)
			want("just before exp", 200, bearer)
			p.Clock.Add(time.Second)
			want("at exp", 401, bearer)
			p.Close()
			want("API key while Pawl is unreachable", 503, apiKey)
		})
	}
}

// TestJWKSCaller checks every field of the caller returned by Verify.
func TestJWKSCaller(t *testing.T) {
	p := publish(t)
	caller, err := p.jwks().Verify(t.Context(), p.login(t))
	expires := api.NewTime(p.Clock.Now().Add(time.Hour))
	if err != nil || caller.ExpiresAt == nil || *caller.ExpiresAt != expires {
		t.Fatalf("caller %+v, %v, want exp %v", caller, err, expires)
	}
	caller.ExpiresAt = nil
	want := api.SessionInfo{UserID: 4821, NetworkID: 1, MailboxID: 101, AuthLevel: api.LevelMailboxAdmin}
	if caller != want {
		t.Errorf("caller %+v, want %+v", caller, want)
	}
}

// TestJWKSFollowsKeys checks that a new key needs no restart, that the tokens of its predecessor still pass, and that
// those of a leaked key are soon rejected.
func TestJWKSFollowsKeys(t *testing.T) {
	p := publish(t, pawltest.WithTokenLife(72*time.Hour))
	admin, j := p.Client(client.WithAPIKey(p.AdminAPIKey)), p.jwks()
	first := p.login(t)
	check(t, "first key", j, first, nil)
	created, err := admin.RotateSigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Clock.Add(keyring.DefaultLead)
	if _, err := admin.SigningKeys(t.Context()); err != nil { // makes the server read its clock
		t.Fatal(err)
	}
	second := p.login(t)
	if first[:strings.Index(first, ".")] == second[:strings.Index(second, ".")] {
		t.Fatal("the key is the same after the rotation")
	}
	check(t, "second key", j, second, nil)
	check(t, "first key after the rotation", j, first, nil)
	leaked := api.RetireSigningKeyRequest{KeyID: created.KeyID, Now: true}
	if err := admin.RetireSigningKey(t.Context(), leaked); err != nil {
		t.Fatal(err)
	}
	p.Clock.Add(5 * time.Second)
	check(t, "successor of the leaked key", j, p.login(t), nil)
	check(t, "leaked key", j, second, client.ErrInvalidSession)
}

// TestJWKSReadsSeldom checks that tokens with unknown keys cost one read in 5 seconds, and valid tokens one in a
// minute. Any client can send a token with an unknown key.
func TestJWKSReadsSeldom(t *testing.T) {
	p := publish(t)
	j, valid := p.jwks(), p.login(t)
	wantReads := func(want int64) {
		t.Helper()
		if n := p.reads.Load(); n != want {
			t.Errorf("%d reads, want %d", n, want)
		}
	}
	unknown := func(id string) {
		t.Helper()
		check(t, "unknown key", j, sign(t, newKey(t, id), jose.ES256, "{}"), client.ErrInvalidSession)
	}
	var together sync.WaitGroup
	for range 20 {
		together.Go(func() { check(t, "first tokens", j, valid, nil) })
	}
	together.Wait()
	for i := range 20 {
		unknown(fmt.Sprint("key", i))
	}
	wantReads(1)
	p.Clock.Add(5 * time.Second)
	unknown("x")
	unknown("y")
	wantReads(2)
	p.Clock.Add(time.Minute)
	check(t, "valid token after a minute", j, valid, nil)
	check(t, "valid token again", j, valid, nil)
	wantReads(3)
}

// TestJWKSAfterAPause checks that a stale leaked key is dropped before the first token after a pause, not after it.
func TestJWKSAfterAPause(t *testing.T) {
	p := publish(t)
	admin, j := p.Client(client.WithAPIKey(p.AdminAPIKey)), p.jwks()
	leaked := p.login(t)
	check(t, "before the retirement", j, leaked, nil)
	keys, err := admin.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	retire := api.RetireSigningKeyRequest{KeyID: keys[0].KeyID, Now: true}
	if err := admin.RetireSigningKey(t.Context(), retire); err != nil {
		t.Fatal(err)
	}
	p.Clock.Add(time.Minute)
	check(t, "after the retirement", j, leaked, client.ErrInvalidSession)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestJWKSWhilePawlHangs checks, with simulated time, that cached keys are used after 1 second, and that no token waits
// for more than 10 seconds.
func TestJWKSWhilePawlHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t, "a")
		set, err := json.Marshal(map[string]any{"keys": []any{key.Public()}})
		if err != nil {
			t.Fatal(err)
		}
		var hangs atomic.Bool
		pawl := client.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if hangs.Load() {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return respond(200, string(set))(), nil
		})})
		j := client.NewJWKS(newClient(t, "http://pawl.example", pawl), client.JWKSConfig{})
		expires := time.Now().Add(time.Hour).Unix()
		valid := sign(t, key, jose.ES256, fmt.Sprintf(`{"iss":"pawl","aud":"pawl","sub":"7","exp":%d}`, expires))
		check(t, "before", j, valid, nil)
		time.Sleep(time.Minute)
		hangs.Store(true)
		for _, step := range []struct {
			name  string
			token string
			takes time.Duration
			want  error
		}{
			{name: "cached key", token: valid, takes: time.Second},
			{
				name: "unknown key", token: sign(t, newKey(t, "x"), jose.ES256, "{}"),
				takes: 9 * time.Second, want: client.ErrUnavailable,
			},
			{name: "cached key soon after", token: valid},
		} {
			began := time.Now()
			check(t, step.name, j, step.token, step.want)
			if took := time.Since(began); took != step.takes {
				t.Errorf("%s: took %v, want %v", step.name, took, step.takes)
			}
		}
	})
}

// TestJWKSWhilePawlIsUnreachable checks that cached keys are used for an hour, and that tokens are rejected without
// keys.
func TestJWKSWhilePawlIsUnreachable(t *testing.T) {
	p := publish(t, pawltest.WithTokenLife(12*time.Hour))
	j, valid := p.jwks(), p.login(t)
	check(t, "with Pawl", j, valid, nil)
	empty := p.jwks()
	p.Close()
	p.Clock.Add(time.Hour - time.Second)
	check(t, "after less than an hour", j, valid, nil)
	unknown := sign(t, newKey(t, "x"), jose.ES256, "{}")
	check(t, "a key that Pawl may have created since", j, unknown, client.ErrUnavailable)
	p.Clock.Add(time.Second)
	check(t, "after an hour", j, valid, client.ErrUnavailable)
	check(t, "without cached keys", empty, valid, client.ErrUnavailable)
	check(t, "without cached keys, not a token", empty, "x", client.ErrInvalidSession)
}

// TestJWKSWithoutPublicKeys checks that the error for HS256 suggests another algorithm.
func TestJWKSWithoutPublicKeys(t *testing.T) {
	p := publish(t, pawltest.WithAlgorithm("HS256"))
	if err := p.jwks().Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "--algorithm ES256") {
		t.Errorf("error %v, want one with --algorithm ES256", err)
	}
	check(t, "token with HS256", p.jwks(), p.login(t), client.ErrInvalidSession)
	check(t, "token with ES256", p.jwks(), sign(t, newKey(t, "x"), jose.ES256, "{}"), client.ErrUnavailable)
}

func newKey(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	generated, err := token.GenerateKey(token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := generated.MarshalJWK()
	var key jose.JSONWebKey
	if err != nil || key.UnmarshalJSON(text) != nil {
		t.Fatal(err)
	}
	key.KeyID = id
	return key
}

// sign returns a token with any claims.
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

// orders is a JWKS of the API "orders", and the keys behind it.
type orders struct {
	*client.JWKS
	key      jose.JSONWebKey // published, and valid
	confused jose.JSONWebKey // published with an alg unsuited to its type
	sealing  jose.JSONWebKey // published for encryption
	secret   jose.JSONWebKey // published, although it is symmetric
}

func newOrders(t *testing.T) orders {
	t.Helper()
	o := orders{
		key: newKey(t, "a"), confused: newKey(t, "confused"), sealing: newKey(t, "sealing"),
		secret: jose.JSONWebKey{Key: make([]byte, 32), KeyID: "secret", Algorithm: "HS256"},
	}
	o.confused.Algorithm = "RS256"
	o.sealing.Use = "enc"
	unknown := json.RawMessage(`{"kty":"new","kid":"n","alg":"ES256"}`)
	keys := []any{o.key.Public(), o.secret, unknown, o.confused.Public(), o.sealing.Public()}
	set, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization")+r.Header.Get("X-Api-Key") != "" {
			t.Error("the request for the JWK set has credentials")
		}
		_, _ = w.Write(set)
	})
	c := newClient(t, url, client.WithAPIKey("k"), client.WithBearer("b"))
	o.JWKS = client.NewJWKS(c, client.JWKSConfig{Issuer: "https://auth.example.com", Audience: "orders"})
	return o
}

// claimsWith returns valid claims for orders, with those in change replaced.
func claimsWith(t *testing.T, now int64, change string) string {
	t.Helper()
	claims := map[string]any{
		"iss": "https://auth.example.com", "aud": "orders", "sub": "7", "iat": now, "exp": now + 600,
	}
	var changes map[string]any
	if err := json.Unmarshal([]byte("{"+change+"}"), &changes); err != nil {
		t.Fatal(err)
	}
	maps.Copy(claims, changes)
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestJWKSRefuses checks nearly right signatures and claims.
func TestJWKSRefuses(t *testing.T) {
	o, now := newOrders(t), time.Now().Unix()
	with := func(change string) string { return claimsWith(t, now, change) }
	signed := func(change string) string { return sign(t, o.key, jose.ES256, with(change)) }
	for name, valid := range map[string]string{
		"plain":                 signed(``),
		"several audiences":     signed(`"aud":["x","orders"]`),
		"a clock a little fast": signed(fmt.Sprint(`"iat":`, now+30)),
	} {
		check(t, name, o.JWKS, valid, nil)
	}
	public, err := o.key.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	forged := jose.JSONWebKey{Key: public, KeyID: "a"}
	confused := jose.JSONWebKey{Key: o.confused.Key, KeyID: "confused"}
	twice := strings.Replace(with(``), "{", `{"sub":"8",`, 1)
	long := strings.Repeat("A", token.MaxLength)
	part := strings.Split(signed(``), ".")
	flattened := fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, part[1], part[0], part[2])
	for name, invalid := range map[string]string{
		"another issuer":                  signed(`"iss":"pawl"`),
		"another audience":                signed(`"aud":"pawl"`),
		"no audience":                     signed(`"aud":null`),
		"no exp":                          signed(`"exp":null`),
		"expired":                         signed(fmt.Sprint(`"exp":`, now-1)),
		"nbf in the future":               signed(fmt.Sprint(`"nbf":`, now+600)),
		"iat in the future":               signed(fmt.Sprint(`"iat":`, now+600)),
		"no subject":                      signed(`"sub":null`),
		"a subject that is not a user id": signed(`"sub":"x"`),
		"a claim that occurs twice":       sign(t, o.key, jose.ES256, twice),
		"another key with the same id":    sign(t, newKey(t, "a"), jose.ES256, with(``)),
		"a key without an id":             sign(t, o.key.Key, jose.ES256, with(``)),
		"HS256 with the public key":       sign(t, forged, jose.HS256, with(``)),
		"HS256 with a published secret":   sign(t, o.secret, jose.HS256, with(``)),
		"a key of another algorithm":      sign(t, confused, jose.ES256, with(``)),
		"a key for encryption":            sign(t, o.sealing, jose.ES256, with(``)),
		"a valid signature, but too long": signed(`"pad":"` + long + `"`),
		"no signature":                    part[0] + "." + part[1] + ".",
		"alg none":                        "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9." + part[1] + ".",
		"too long":                        signed(``) + long,
		"JSON serialization":              flattened,
		"empty":                           "",
	} {
		check(t, name, o.JWKS, invalid, client.ErrInvalidSession)
	}
}
