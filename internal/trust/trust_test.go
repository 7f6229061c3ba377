package trust_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/internal/test/wallclock"
	"github.com/pawlauth/pawl/internal/trust"
)

const audience = "https://auth.example.com"

// provider is an issuer with a JWK set on a real server.
type provider struct {
	*httptest.Server
	now     time.Time
	keys    []jose.JSONWebKey // the published ones
	fetches atomic.Int64
	serve   http.HandlerFunc // instead of the JWK set; may be nil
	*trust.Verifier
}

var (
	rsaKey  = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey   = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	other   = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edKey   = must(ed25519Key())
	weakKey = must(weakRSA())
)

func ed25519Key() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// weakRSA returns a key that go-jose accepts, and that is too short.
func weakRSA() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 1024) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func newProvider(t *testing.T, keys ...jose.JSONWebKey) *provider {
	p := &provider{now: time.Unix(1_800_000_000, 0), keys: keys}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		if p.serve != nil {
			p.serve(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: p.keys})
	}))
	t.Cleanup(p.Server.Close)
	p.Verifier = trust.New(trust.Config{
		Issuers:   must(trust.ParseIssuers(p.file(p.URL))),
		Clock:     func() time.Time { return p.now },
		Transport: p.Server.Client().Transport,
	})
	return p
}

// file returns a file of trusted issuers.
func (p *provider) file(jwkSet string) []byte {
	return must(json.Marshal([]map[string]any{{
		"issuer": "https://idp.example.com", "jwkSet": jwkSet, "audience": audience, "externalIdPrefix": "idp:",
	}}))
}

func published(key crypto.PublicKey, id, algorithm string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: algorithm, Use: "sig"}
}

// claims returns the claims of a valid assertion, with changes. A nil value removes the claim.
func (p *provider) claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": "https://idp.example.com", "aud": audience, "sub": "user-7", "jti": "one",
		"iat": p.now.Unix(), "exp": p.now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

func sign(algorithm jose.SignatureAlgorithm, key any, id string, claims any) string {
	options := (&jose.SignerOptions{}).WithType("JWT")
	signing := jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}
	signer := must(jose.NewSigner(signing, options))
	text, ok := claims.([]byte)
	if !ok {
		text = must(json.Marshal(claims))
	}
	return must(must(signer.Sign(text)).CompactSerialize())
}

// reject checks that an assertion is invalid, for the reason.
func (p *provider) reject(t *testing.T, assertion, reason string) {
	t.Helper()
	_, err := p.Verify(t.Context(), assertion)
	invalid, ok := errors.AsType[*trust.InvalidError](err)
	if !ok || !strings.Contains(invalid.Reason, reason) {
		t.Errorf("got %v, want %q", err, reason)
	}
}

// TestVerify checks valid assertions with each kind of key.
func TestVerify(t *testing.T) {
	p := newProvider(t, published(&rsaKey.PublicKey, "r", ""), published(&ecKey.PublicKey, "e", "ES256"),
		published(edKey.Public(), "d", "EdDSA"))
	for name, assertion := range map[string]string{
		"RS256":          sign(jose.RS256, rsaKey, "r", p.claims(nil)),
		"PS512":          sign(jose.PS512, rsaKey, "r", p.claims(nil)),
		"ES256":          sign(jose.ES256, ecKey, "e", p.claims(nil)),
		"EdDSA":          sign(jose.EdDSA, edKey, "d", p.claims(nil)),
		"no key id":      sign(jose.ES256, ecKey, "", p.claims(nil)),
		"two audiences":  sign(jose.ES256, ecKey, "e", p.claims(map[string]any{"aud": []string{"x", audience}})),
		"a fraction":     sign(jose.ES256, ecKey, "e", p.claims(map[string]any{"iat": float64(p.now.Unix()) + 0.5})),
		"a little early": sign(jose.ES256, ecKey, "e", p.claims(map[string]any{"nbf": p.now.Unix() + 20})),
	} {
		got, err := p.Verify(t.Context(), assertion)
		if err != nil || got.ExternalID != "idp:user-7" || got.Issuer.Name != "https://idp.example.com" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	first := must(p.Verify(t.Context(), sign(jose.ES256, ecKey, "e", p.claims(nil))))
	second := must(p.Verify(t.Context(), sign(jose.ES256, ecKey, "e", p.claims(map[string]any{"jti": "two"}))))
	if first.ID == second.ID {
		t.Error("two assertions have the same ID")
	}
}

// TestReject checks every reason for which an assertion is invalid.
func TestReject(t *testing.T) {
	p := newProvider(t, published(&rsaKey.PublicKey, "r", ""), published(&ecKey.PublicKey, "e", "ES256"),
		published(&weakKey.PublicKey, "w", ""))
	now := p.now.Unix()
	for name, c := range map[string]struct {
		claims map[string]any
		reason string
	}{
		"another issuer":      {map[string]any{"iss": "https://evil.example.com"}, "is not trusted"},
		"another audience":    {map[string]any{"aud": "https://other.example.com"}, "another audience"},
		"no audience":         {map[string]any{"aud": nil}, "another audience"},
		"an audience object":  {map[string]any{"aud": map[string]any{audience: 1}}, "another audience"},
		"expired":             {map[string]any{"iat": now - 300, "exp": now - 30}, "has expired"},
		"no exp":              {map[string]any{"exp": nil}, "no exp"},
		"no iat":              {map[string]any{"iat": nil}, "no exp or no iat"},
		"issued later":        {map[string]any{"iat": now + 31, "exp": now + 300}, "from the future"},
		"not yet valid":       {map[string]any{"nbf": now + 31}, "from the future"},
		"valid too long":      {map[string]any{"exp": now + 601}, "more than 10 minutes"},
		"exp of infinity":     {map[string]any{"exp": 1e300}, "wrong type"},
		"exp as a string":     {map[string]any{"exp": "1800000300"}, "wrong type"},
		"no jti":              {map[string]any{"jti": nil}, "no jti"},
		"an endless jti":      {map[string]any{"jti": strings.Repeat("j", 257)}, "no jti"},
		"no sub":              {map[string]any{"sub": nil}, "The claim sub"},
		"a number as sub":     {map[string]any{"sub": 7}, "The claim sub"},
		"an endless sub":      {map[string]any{"sub": strings.Repeat("u", 125)}, "The claim sub"},
		"an issuer of spaces": {map[string]any{"iss": " https://idp.example.com"}, "is not trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			p.reject(t, sign(jose.ES256, ecKey, "e", p.claims(c.claims)), c.reason)
		})
	}
	valid := sign(jose.ES256, ecKey, "e", p.claims(nil))
	parts := strings.Split(valid, ".")
	p.reject(t, sign(jose.ES256, other, "e", p.claims(nil)), "not one of its issuer")
	p.reject(t, sign(jose.RS256, rsaKey, "e", p.claims(nil)), "not one of its issuer") // the key is for ES256
	p.reject(t, sign(jose.RS256, weakKey, "w", p.claims(nil)), "not one of its issuer")
	p.reject(t, parts[0]+"."+parts[1]+"."+parts[0], "not one of its issuer")
	p.reject(t, sign(jose.ES256, ecKey, "e", []byte(`{"iss":"https://idp.example.com","iss":"x"}`)), "not valid JSON")
	secret := must(json.Marshal(published(&ecKey.PublicKey, "e", "")))
	p.reject(t, sign(jose.HS256, secret, "e", p.claims(nil)), "not a JWT")
	p.reject(t, "eyJhbGciOiJub25lIn0."+parts[1]+".", "not a JWT")
	p.reject(t, strings.Repeat("a", 17<<10), "more than 16384 bytes")
	for _, text := range []string{"", ".", "..", "...", valid + ".", " " + valid, "{}"} {
		p.reject(t, text, "not a JWT")
	}
}

// TestKeysChange checks that a new key is found after the gap between two fetches, and that a withdrawn one is rejected
// once the keys are stale.
func TestKeysChange(t *testing.T) {
	p := newProvider(t, published(&ecKey.PublicKey, "old", "ES256"))
	old := func() string { return sign(jose.ES256, ecKey, "old", p.claims(nil)) }
	fresh := func() string { return sign(jose.ES256, other, "new", p.claims(nil)) }
	must(p.Verify(t.Context(), old()))
	p.keys = []jose.JSONWebKey{published(&other.PublicKey, "new", "ES256")}
	p.reject(t, fresh(), "not one of its issuer")
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches within the gap, want 1", n)
	}
	p.now = p.now.Add(5 * time.Second)
	must(p.Verify(t.Context(), fresh()))
	p.reject(t, old(), "not one of its issuer")
}

// TestKeysAfterSuspend withdraws a key while the machine is suspended, so that its monotonic clock stands still. The
// key must not be used after that.
func TestKeysAfterSuspend(t *testing.T) {
	p := newProvider(t, published(&ecKey.PublicKey, "old", "ES256"))
	var machine wallclock.Clock
	p.now = machine.Now()
	must(p.Verify(t.Context(), sign(jose.ES256, ecKey, "old", p.claims(nil))))
	p.keys = []jose.JSONWebKey{published(&other.PublicKey, "new", "ES256")}
	machine.Step(11 * time.Minute)
	p.now = machine.Now()
	p.reject(t, sign(jose.ES256, ecKey, "old", p.claims(nil)), "not one of its issuer")
}

// TestUnreachable checks that no assertion is accepted by stale keys, and that the failure is no verdict on the
// assertion.
func TestUnreachable(t *testing.T) {
	p := newProvider(t, published(&ecKey.PublicKey, "e", "ES256"))
	unavailable := func(what string) {
		t.Helper()
		_, err := p.Verify(t.Context(), sign(jose.ES256, ecKey, "e", p.claims(nil)))
		if !errors.Is(err, trust.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
		p.now = p.now.Add(5 * time.Second)
	}
	good := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: p.keys})
	})
	for what, serve := range map[string]http.HandlerFunc{
		"an error":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"rubbish":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no keys":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"too large": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://x.invalid/", http.StatusFound)
		},
	} {
		p.serve = serve
		unavailable(what)
	}
	p.serve = good
	must(p.Verify(t.Context(), sign(jose.ES256, ecKey, "e", p.claims(nil))))
	p.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	p.now = p.now.Add(9 * time.Minute)
	must(p.Verify(t.Context(), sign(jose.ES256, ecKey, "e", p.claims(nil))))
	p.now = p.now.Add(time.Minute)
	unavailable("stale keys")
	p.Server.Close()
	unavailable("a closed server")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Verify(ctx, sign(jose.ES256, ecKey, "e", p.claims(nil))); err == nil {
		t.Error("accepted without keys")
	}
}

// TestFile checks keys in a file, and the claim of a verified email as the external id.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	set := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{published(&ecKey.PublicKey, "e", "ES256")}}))
	if err := os.WriteFile(path, set, 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProvider(t)
	issuers := must(trust.ParseIssuers(p.file(path)))
	issuers[0].ExternalIDClaim = "email"
	p.Verifier = trust.New(trust.Config{Issuers: issuers, Clock: func() time.Time { return p.now }})
	email := map[string]any{"email": "ada@example.com", "email_verified": true, "given_name": "Ada"}
	got := must(p.Verify(t.Context(), sign(jose.ES256, ecKey, "e", p.claims(email))))
	if got.ExternalID != "idp:ada@example.com" || got.FirstName != "Ada" {
		t.Errorf("%+v", got)
	}
	email["email_verified"] = false
	p.reject(t, sign(jose.ES256, ecKey, "e", p.claims(email)), "not verified the email")
}

// TestReserves checks which external ids belong to an issuer.
func TestReserves(t *testing.T) {
	two := trust.New(trust.Config{Issuers: []trust.Issuer{
		{Name: "a", ExternalIDPrefix: "Idp:"}, {Name: "b", ExternalIDPrefix: "other:"},
	}})
	for id, want := range map[string]bool{
		"Idp:7": true, "idp:7": true, "IDP:": true, "other:x": true, "idp": false, "x idp:7": false, "auth0|7": false,
	} {
		if got := two.Reserves(id); got != want {
			t.Errorf("%q is reserved: %v", id, got)
		}
	}
	if !trust.New(trust.Config{Issuers: []trust.Issuer{{Name: "a"}}}).Reserves("x") {
		t.Error("an issuer without a prefix reserves no external id")
	}
}

// TestParseIssuers checks that each mistake in the file of trusted issuers is an error with a reason.
func TestParseIssuers(t *testing.T) {
	const good = `{"issuer":"https://a","jwkSet":"https://a/keys","audience":"p","externalIdPrefix":"a:"}`
	if _, err := trust.ParseIssuers([]byte("\xef\xbb\xbf[" + good + "]")); err != nil {
		t.Error(err)
	}
	for text, reason := range map[string]string{
		``:             "is not JSON",
		`[]`:           "is empty",
		`{}`:           "has the wrong type",
		`[` + good:     "is not JSON",
		`[{"issur":1}`: "/0/issur is unknown",
		`[{"issuer":"https://a","jwkSet":"https://a/keys"}]`:                     "audience is missing",
		`[{"jwkSet":"https://a/keys","audience":"p"}]`:                           "issuer is missing",
		`[{"issuer":"a","jwkSet":"http://a/keys","audience":"p"}]`:               "must be https",
		`[{"issuer":"a","jwkSet":"https:///keys","audience":"p"}]`:               "is not a URL",
		`[{"issuer":"a","jwkSet":"k","audience":"p","create":{"networkId":-1}}]`: "must be 0 or greater",
		`[` + good + `,` + good + `]`:                                            "occurs twice",
		`[` + good + `,{"issuer":"b","jwkSet":"k","audience":"p"}]`:              "could name users of https://a",
		`[{"issuer":"a","issuer":"a"}]`:                                          "is not JSON",
		`[{"issuer":"a","jwkSet":"k","audience":"p","create":{"authLevel":7}}]`:  "has the wrong type",
	} {
		if _, err := trust.ParseIssuers([]byte(text)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", text, err, reason)
		}
	}
	for _, loopback := range []string{"http://127.0.0.1:5556/keys", "http://[::1]/keys", "http://localhost/keys"} {
		text := strings.Replace("["+good+"]", "https://a/keys", loopback, 1)
		if _, err := trust.ParseIssuers([]byte(text)); err != nil {
			t.Error(err)
		}
	}
}

// FuzzVerify checks that no text makes Verify panic or accepts without a signature.
func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keys.json")
	set := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{published(&ecKey.PublicKey, "e", "ES256")}}))
	if err := os.WriteFile(path, set, 0o600); err != nil {
		f.Fatal(err)
	}
	issuers := []trust.Issuer{{Name: "i", JWKSet: path, Audience: "p", ExternalIDClaim: "sub"}}
	verifier := trust.New(trust.Config{Issuers: issuers})
	f.Add(sign(jose.ES256, other, "e", map[string]any{"iss": "i", "aud": "p"}))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := verifier.Verify(t.Context(), text); err == nil {
			t.Errorf("accepted: %+v", got)
		}
	})
}
