package generators_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/internal/test/npmtest"
	"github.com/pawlauth/pawl/internal/trust"
	"github.com/pawlauth/pawl/pawltest"
)

// issuer signs assertions for a server that trusts it.
type issuer struct {
	key    *ecdsa.PrivateKey
	server *pawltest.Server
}

func startIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKey{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	trusted := func(c *app.Config) {
		c.Clock = time.Now
		c.TrustedIssuers = []trust.Issuer{{
			Name: "https://idp.example.com", JWKSet: file, Audience: "pawl", ExternalIDClaim: "sub",
			ExternalIDPrefix: "idp:", Create: &trust.NewUser{AuthLevel: "General"},
		}}
	}
	server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)), pawltest.WithConfig(trusted))
	return issuer{key: key, server: server}
}

// env sets the variables of the scripts: an assertion, and the key that signs assertions.
func (i issuer) env(t *testing.T) {
	t.Helper()
	signing := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "k"}}
	signer, err := jose.NewSigner(signing, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": "https://idp.example.com", "aud": "pawl", "sub": "user-7", "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ASSERTION", assertion)
	t.Setenv("ISSUER_KEY", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// tokenOutput is what a script prints that keeps sessions by refresh_token, opens one by jwt-bearer, and gets the
// errors of RFC 6749, 5.2.
const tokenOutput = `none: refreshed; the first token: 400 invalid_grant
client_secret_basic: refreshed; the first token: 400 invalid_grant
client_secret_post: refreshed; the first token: 400 invalid_grant
jwt-bearer: opened; again: 400 invalid_grant
without a client: 401 invalid_client, bearer
a wrong secret: 401 invalid_client, bearer,basic
another grant: 400 unsupported_grant_type
no token: 400 invalid_request
`

// TestTokenEndpointNPM runs oauth4webapi and openid-client against /oauth2/token, as they are.
func TestTokenEndpointNPM(t *testing.T) {
	dir := npmtest.Folder(t, "npm")
	for _, library := range []string{"oauth4webapi", "openid-client"} {
		t.Run(library, func(t *testing.T) {
			i := startIssuer(t)
			i.env(t)
			if got := run(t, dir, i.server, "node", library+"-token.js"); got != tokenOutput {
				t.Errorf("printed:\n%s\nwant:\n%s", got, tokenOutput)
			}
		})
	}
}

// TestTokenEndpointAuthlib runs authlib of Debian against the metadata and /oauth2/token. It shows no status.
func TestTokenEndpointAuthlib(t *testing.T) {
	python := pythonWithAuthlib(t)
	const want = `none: refreshed; the first token: invalid_grant
client_secret_basic: refreshed; the first token: invalid_grant
client_secret_post: refreshed; the first token: invalid_grant
jwt-bearer: opened; again: invalid_grant
an assertion of the library: idp:user-8
without a client: invalid_client
a wrong secret: invalid_client
another grant: unsupported_grant_type
`
	i := startIssuer(t)
	i.env(t)
	t.Setenv("AUTHLIB_INSECURE_TRANSPORT", "1") // the test server has no TLS
	if got := run(t, "python", i.server, python, "authlib_token.py"); got != want {
		t.Errorf("printed:\n%s\nwant:\n%s", got, want)
	}
}

// pythonWithAuthlib returns a Python that has the package authlib. It prefers the python3 on PATH, but "make deps"
// installs authlib for Debian's Python.
func pythonWithAuthlib(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import authlib, requests").Run() == nil {
			return python
		}
	}
	t.Skip("no python3 has the package authlib; run \"make deps\"")
	return ""
}
