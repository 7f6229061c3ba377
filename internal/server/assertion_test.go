package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
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
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/trust"
	"github.com/pawlauth/pawl/pawltest"
)

// idp is a trusted issuer whose keys are in a file, and a server that trusts it.
type idp struct {
	*browser
	key    *ecdsa.PrivateKey
	store  app.Store
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
	p := &idp{key: key}
	p.browser = start(t, pawltest.WithConfig(func(c *app.Config) {
		silent := trust.Issuer{Name: "https://silent.example.com", JWKSet: file + ".missing", Audience: "pawl",
			ExternalIDPrefix: "silent:"}
		c.TrustedIssuers = []trust.Issuer{issuer, silent}
		c.WrapStore = func(s app.Store) app.Store {
			p.store = s
			return s
		}
	}))
	p.client = apiKey(p.createKey(pawltest.AdminID, `"scope":"OpenSessions"`).Key)
	return p
}

// assertion signs an assertion with changed claims. A nil value removes a claim.
func (p *idp) assertion(changes map[string]any) string {
	p.Helper()
	return p.sign(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, changes)
}

func (p *idp) sign(signing jose.SigningKey, changes map[string]any) string {
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

// reject checks that an assertion is rejected with a description that begins with want, and changes nothing.
func (p *idp) reject(t *testing.T, assertion, want string, headers ...string) {
	t.Helper()
	before := storetest.ReadDump(t, p.store)
	resp, body := p.form(grantPath, assertionForm(assertion), headers...)
	var failed api.OAuthError
	if err := json.Unmarshal([]byte(body), &failed); err != nil {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if got := fmt.Sprint(resp.StatusCode, " ", failed.Code, ": ", failed.Description); !strings.HasPrefix(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	if changed := before.Changed(storetest.ReadDump(t, p.store)); len(changed) > 0 {
		t.Errorf("it changed the %v", changed)
	}
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

// TestGrantByAssertionErrors checks that each rejected assertion has a clear error, and changes nothing.
func TestGrantByAssertionErrors(t *testing.T) {
	p := startIDP(t, &trust.NewUser{})
	now := p.Clock.Now().Unix()
	p.createUser(`"login":"boss","externalId":"idp:boss","authLevel":"NetworkAdmin"`)
	gone := p.createUser(`"login":"gone","externalId":"idp:gone"`).UserID
	p.expect(200, "", "PUT", "/v2/users", fmt.Sprintf(`{"userId":%d,"status":"Suspended"}`, gone), p.admin())
	for name, c := range map[string]struct {
		changes map[string]any
		want    string
	}{
		"expired":          {map[string]any{"iat": now - 300, "exp": now - 31}, "The assertion has expired."},
		"from the future":  {map[string]any{"iat": now + 60}, "The assertion is from the future"},
		"not yet valid":    {map[string]any{"nbf": now + 60}, "The assertion is from the future"},
		"another audience": {map[string]any{"aud": "orders"}, "The assertion is for another audience."},
		"unknown issuer":   {map[string]any{"iss": "https://evil.example.com"}, "The issuer of the assertion is not"},
		"too long":         {map[string]any{"exp": now + 700}, "The assertion is valid for more than 10 minutes."},
		"no jti":           {map[string]any{"jti": nil}, "The assertion has no jti"},
		"no sub":           {map[string]any{"sub": nil}, "The claim sub of the assertion must be"},
		"above the key":    {map[string]any{"sub": "boss"}, "The user is above the maxLevel"},
		"suspended":        {map[string]any{"sub": "gone"}, "The user may not sign in"},
	} {
		t.Run(name, func(t *testing.T) {
			p.reject(t, p.assertion(c.changes), "400 invalid_grant: "+c.want, p.client)
		})
	}
	public := &p.key.PublicKey
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs256 := p.sign(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: "k"}}, nil)
	p.reject(t, hs256, "400 invalid_grant: The assertion is not a JWT with a signature by a public key.", p.client)
	once := p.assertion(map[string]any{"sub": "other"})
	if resp, body := p.form(grantPath, assertionForm(once), p.client); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	p.reject(t, once, "400 invalid_grant: The assertion was used before", p.client)
	unreadable := p.assertion(map[string]any{"iss": "https://silent.example.com"})
	p.reject(t, unreadable, "503 temporarily_unavailable: ", p.client)
	none := start(t)
	none.grantError(400, "invalid_grant", assertionForm(p.assertion(nil)), apiKey(none.AdminAPIKey))
}

// TestGrantByAssertionClient checks that an assertion without the right API key opens nothing, and that it can still be
// used afterwards.
func TestGrantByAssertionClient(t *testing.T) {
	p := startIDP(t, &trust.NewUser{})
	superseded, valid := p.login(), p.assertion(nil)
	current := p.refresh(200, superseded)
	p.reject(t, valid, "401 invalid_client: An API key is missing")
	verify := apiKey(p.createKey(pawltest.AdminID, `"scope":"Verify"`).Key)
	p.reject(t, valid, "400 unauthorized_client: ", verify)
	for _, header := range []string{bearer(current)[:40], bearer(superseded), bearer("a.b.c"), apiKey("pawl_wrong")} {
		p.reject(t, valid, "401 invalid_client: ", header)
	}
	p.grantError(400, "invalid_request", "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer", p.client)
	if resp, body := p.form(grantPath, assertionForm(valid), p.client); resp.StatusCode != 200 {
		t.Errorf("an assertion that was rejected without its fault: %d %s", resp.StatusCode, body)
	}
}

// TestGrantByAssertionUnknownUser checks that an issuer without create opens sessions of existing users only, and that
// no user above the API key's level is created.
func TestGrantByAssertionUnknownUser(t *testing.T) {
	p := startIDP(t, nil)
	p.grantError(400, "invalid_grant", assertionForm(p.assertion(nil)), p.client)
	high := startIDP(t, &trust.NewUser{AuthLevel: "NetworkAdmin"})
	high.grantError(400, "invalid_grant", assertionForm(high.assertion(nil)), high.client)
}

// TestGrantByAssertionClocks uses an assertion. Then a node whose clock is ahead forgets all assertions that it may
// forget, and a node whose clock is behind gets the used one again while it still accepts it.
func TestGrantByAssertionClocks(t *testing.T) {
	const skew = 5*time.Minute - time.Second
	p := startIDP(t, &trust.NewUser{})
	grant := func(assertion string) int {
		t.Helper()
		resp, _ := p.form(grantPath, assertionForm(assertion), p.client)
		return resp.StatusCode
	}
	used := p.assertion(nil) // expires in 5 minutes
	if status := grant(used); status != 200 {
		t.Fatalf("%d, want 200", status)
	}
	p.Clock.Add(5*time.Minute + 29*time.Second + skew) // behind, it is accepted for another second
	for range 3 {
		if status := grant(p.assertion(nil)); status != 200 {
			t.Errorf("ahead: %d, want 200", status)
		}
	}
	p.Clock.Add(-skew)
	p.grantError(400, "invalid_grant", assertionForm(used), p.client)
	p.grantError(400, "invalid_grant", assertionForm(used), p.client)
	p.Clock.Add(-time.Minute)
	if status := grant(p.assertion(nil)); status != 200 {
		t.Errorf("another assertion: %d, want 200", status)
	}
}
