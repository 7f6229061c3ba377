package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/trust"
	"github.com/pawlauth/pawl/pawltest"
)

// idp is a trusted issuer whose keys are in a file, and a server that trusts it.
type idp struct {
	*browser
	key    *ecdsa.PrivateKey
	client string // the header with an API key of scope OpenSessions
	count  int
}

func startIDP(t *testing.T, create *trust.NewUser) *idp {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKey{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	file := filepath.Join(t.TempDir(), "keys.json")
	if err != nil || os.WriteFile(file, set, 0o600) != nil {
		t.Fatal(err)
	}
	issuer := trust.Issuer{
		Name: "https://idp.example.com", JWKSet: file, Audience: "pawl", ExternalIDClaim: "sub",
		ExternalIDPrefix: "idp:", Create: create,
	}
	p := &idp{key: key, browser: start(t, pawltest.WithConfig(func(c *app.Config) {
		silent := trust.Issuer{Name: "https://silent.example.com", JWKSet: file + ".missing", Audience: "pawl"}
		c.TrustedIssuers = []trust.Issuer{issuer, silent}
	}))}
	p.client = apiKey(p.createKey(pawltest.AdminID, `"scope":"OpenSessions"`).Key)
	return p
}

// assertion signs an assertion with changed claims. A nil value removes a claim.
func (p *idp) assertion(changes map[string]any) string {
	p.Helper()
	p.count++
	now := p.Clock.Now()
	claims := map[string]any{
		"iss": "https://idp.example.com", "aud": "pawl", "sub": "user-7", "jti": fmt.Sprint(p.count),
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "email": "ada@example.com", "given_name": "Ada",
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(claims)
	if err != nil {
		p.Fatal(err)
	}
	signing := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}
	signer, err := jose.NewSigner(signing, nil)
	if err != nil {
		p.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		p.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		p.Fatal(err)
	}
	return compact
}

func assertionForm(assertion string) string {
	return url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
	}.Encode()
}

// grantAssertion opens a session by an assertion, and returns the token.
func (p *idp) grantAssertion(client string) string {
	p.Helper()
	resp, body := p.form(grantPath, assertionForm(p.assertion(nil)), client)
	var got api.TokenResponse
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 {
		p.Fatalf("%d %s", resp.StatusCode, body)
	}
	return got.AccessToken
}

// users returns how many users there are.
func (p *idp) users() int {
	p.Helper()
	return len(data[[]api.User](p.browser, "POST", "/v2/users/list", `{"recordsPerPage":500}`, p.admin()))
}

// TestGrantByAssertion opens two sessions of a user who exists after the first one, and refreshes one.
func TestGrantByAssertion(t *testing.T) {
	p := startIDP(t, &trust.NewUser{AuthLevel: "TPUser"})
	before := p.users()
	var tokens []string
	for range 2 {
		tokens = append(tokens, p.grantAssertion(p.client))
	}
	if n := p.users() - before; n != 1 {
		t.Errorf("%d users were created, want 1", n)
	}
	p.session(200, tokens[0])
	me := data[api.User](p.browser, "GET", "/v2/users/me", "", bearer(tokens[1]))
	if me.ExternalID != "idp:user-7" || me.AuthLevel != api.LevelTPUser || me.Email != "ada@example.com" {
		t.Errorf("%+v", me)
	}
	p.session(200, p.grant(tokens[0]))
	p.session(401, tokens[0])
	login := credentials(pawltest.AdminLogin, pawltest.AdminPassword)
	admin := bearer(data[api.Token](p.browser, "POST", "/v2/auth/login", login).Token)
	if resp, body := p.form(grantPath, assertionForm(p.assertion(nil)), admin); resp.StatusCode != 200 {
		t.Errorf("an administrator's token: %d %s", resp.StatusCode, body)
	}
}

// TestGrantByAssertionErrors checks each rejected assertion, and that it opens nothing.
func TestGrantByAssertionErrors(t *testing.T) {
	p := startIDP(t, &trust.NewUser{})
	now := p.Clock.Now().Unix()
	before := p.users()
	for name, changes := range map[string]map[string]any{
		"expired":          {"iat": now - 300, "exp": now - 31},
		"from the future":  {"iat": now + 60},
		"another audience": {"aud": "orders"},
		"unknown issuer":   {"iss": "https://evil.example.com"},
		"too long":         {"exp": now + 700},
		"no jti":           {"jti": nil},
		"no sub":           {"sub": nil},
	} {
		t.Run(name, func(t *testing.T) {
			p.grantError(400, "invalid_grant", assertionForm(p.assertion(changes)), p.client)
		})
	}
	once := assertionForm(p.assertion(map[string]any{"sub": "other"}))
	if resp, body := p.form(grantPath, once, p.client); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	p.grantError(400, "invalid_grant", once, p.client)
	parts := strings.Split(p.assertion(nil), ".")
	hs256 := "eyJhbGciOiJIUzI1NiJ9." + parts[1] + "." + parts[2]
	p.grantError(400, "invalid_grant", assertionForm(hs256), p.client)
	valid := assertionForm(p.assertion(nil))
	p.grantError(401, "invalid_client", valid)
	p.grantError(400, "unauthorized_client", valid, apiKey(p.createKey(pawltest.AdminID, `"scope":"Verify"`).Key))
	p.grantError(401, "invalid_client", valid, bearer(p.login())[:40])
	superseded := p.login()
	p.refresh(200, superseded)
	p.grantError(401, "invalid_client", valid, bearer(superseded))
	p.grantError(401, "invalid_client", valid, bearer("a.b.c"))
	p.grantError(400, "invalid_request", "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer", p.client)
	unreadable := p.assertion(map[string]any{"iss": "https://silent.example.com"})
	p.grantError(503, "temporarily_unavailable", assertionForm(unreadable), p.client)
	if n := p.users() - before; n != 1 {
		t.Errorf("%d users were created, want 1", n)
	}
	if resp, body := p.form(grantPath, valid, p.client); resp.StatusCode != 200 {
		t.Errorf("an assertion that was rejected without its fault: %d %s", resp.StatusCode, body)
	}
	none := start(t)
	none.grantError(400, "invalid_grant", valid, apiKey(none.AdminAPIKey))
}

// TestGrantByAssertionUnknownUser checks that an issuer without create opens sessions of existing users only, and that
// no user above the API key's level is created.
func TestGrantByAssertionUnknownUser(t *testing.T) {
	p := startIDP(t, nil)
	p.grantError(400, "invalid_grant", assertionForm(p.assertion(nil)), p.client)
	high := startIDP(t, &trust.NewUser{AuthLevel: "NetworkAdmin"})
	high.grantError(400, "invalid_grant", assertionForm(high.assertion(nil)), high.client)
}
