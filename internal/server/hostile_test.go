package server_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// TestHostileTokens sends what attackers of JWTs are known to send, as a bearer
// and to be refreshed, with each algorithm: 400 for what has not the form of a
// JWT and is to be refreshed, else 401, and nothing happens to the session.
func TestHostileTokens(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			key, jwk := signingKey(t, alg)
			b := start(t, pawltest.WithConfig(func(c *app.Config) { c.SigningKeyFile = jwk }))
			good := b.login()
			b.session(200, (&forge{t: t, key: key}).signWith(key, good[:strings.LastIndexByte(good, '.')])) // the forge forges
			for _, a := range attacks(t, key, good) {
				t.Run(a.name, func(t *testing.T) {
					b := &browser{t, b.Server}
					body, _ := json.Marshal(map[string]string{"token": a.text})
					status, code := 401, api.CodeInvalidSession
					if !a.form {
						status, code = 400, api.CodeInvalidParameter
					}
					b.expect(status, code, "POST", "/v2/auth/refresh", string(body))
					if strings.TrimSpace(a.text) == a.text && !strings.ContainsAny(a.text, "\r\n\x00") { // what a header can carry
						b.session(401, a.text)
					}
				})
			}
			b.session(200, good)
			b.session(200, b.refresh(200, good))
		})
	}
}

// TestLongTokens checks that a token of a megabyte is rejected before it is parsed, and that a token of the longest
// permitted header is rejected.
func TestLongTokens(t *testing.T) {
	b := start(t)
	dots := strings.Repeat(".", 1<<20)
	b.expect(413, api.CodeInvalidParameter, "POST", "/v2/auth/refresh", `{"token":"`+dots+`"}`)
	b.session(401, dots[:32<<10])
	resp, _ := b.send("POST", "/v2/auth/session", "", "Authorization: Bearer "+dots[:64<<10])
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 64 KiB: %s", resp.Status)
	}
}

// signingKey writes a key for a server to sign with.
func signingKey(t *testing.T, alg token.Algorithm) (material any, path string) {
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
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	return jwk.Key, path
}

// attack is a token that must not pass; form says whether it looks like a JWT.
type attack struct {
	name, text string
	form       bool
}

// forge has what the attacks are made of: a good token taken apart, and its key.
type forge struct {
	t               *testing.T
	key             any
	header, payload string // JSON
	parts           []string
	all             []attack
}

func attacks(t *testing.T, key any, good string) []attack {
	f := &forge{t: t, key: key, parts: strings.Split(good, ".")}
	f.header, f.payload = f.text(0), f.text(1)
	f.algorithms()
	f.otherKeys()
	f.headers()
	f.claims()
	f.encodings()
	return f.all
}

func (f *forge) text(part int) string {
	text, err := base64.RawURLEncoding.DecodeString(f.parts[part])
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// add adds an attack that looks like a JWT; notJWT adds one that does not.
func (f *forge) add(name, text string)    { f.all = append(f.all, attack{name, text, true}) }
func (f *forge) notJWT(name, text string) { f.all = append(f.all, attack{name, text, false}) }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign makes a token of any header and payload with the server's own key: so
// what is refused is refused for what it says.
func (f *forge) sign(header, payload string) string {
	return f.signWith(f.key, b64(header)+"."+b64(payload))
}

func (f *forge) signWith(key any, signed string) string {
	f.t.Helper()
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch k := key.(type) {
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, k, digest[:])
		signature, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), signErr
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(signed))
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// jwk gives the bytes that a confused verifier could take for an HMAC's key.
func (f *forge) jwk(key any) []byte {
	text, err := (jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

func (f *forge) member(name, value string) string {
	return strings.Replace(f.header, "{", `{"`+name+`":`+value+",", 1)
}

func (f *forge) algorithms() {
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS384", "RS512", "PS256", "ES256K", "dir"} {
		header := `{"alg":"` + alg + `","typ":"JWT"}`
		f.add("alg "+alg+" and no signature", b64(header)+"."+f.parts[1]+".")
		f.add("alg "+alg+" with a signature", f.sign(header, f.payload))
	}
	f.add("no alg", f.sign(`{"typ":"JWT"}`, f.payload))
	f.add("alg a number", f.sign(`{"alg":256,"typ":"JWT"}`, f.payload))
	f.add("no signature", f.parts[0]+"."+f.parts[1]+".")
	for _, size := range []int{1, 32, 64, 256, 384} { // 64 zero bytes are r = s = 0 (CVE-2022-21449)
		f.add(fmt.Sprintf("a signature of %d zero bytes", size), f.parts[0]+"."+f.parts[1]+"."+b64(string(make([]byte, size))))
	}
	if key, ok := f.key.(*ecdsa.PrivateKey); ok {
		digest := sha256.Sum256([]byte(f.parts[0] + "." + f.parts[1]))
		der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			f.t.Fatal(err)
		}
		f.add("ES256 in ASN.1", f.parts[0]+"."+f.parts[1]+"."+b64(string(der)))
	}
}

// otherKeys signs with what an attacker has: nothing, the public key, a key of
// their own.
func (f *forge) otherKeys() {
	hs256 := func(name string, secret []byte) {
		for _, header := range []string{`{"alg":"HS256","typ":"JWT"}`, f.header, `{"alg":"HS256","kid":"../../dev/null","typ":"JWT"}`} {
			f.add("HMAC with "+name+" "+header, f.signWith(secret, b64(header)+"."+f.parts[1]))
		}
	}
	hs256("no key", nil)
	hs256("a key of zeros", make([]byte, 32))
	if public, ok := f.key.(interface{ Public() crypto.PublicKey }); ok {
		der, err := x509.MarshalPKIXPublicKey(public.Public())
		if err != nil {
			f.t.Fatal(err)
		}
		encoded := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		hs256("the public key as DER", der)
		hs256("the public key as PEM", encoded)
		hs256("the public key as PEM, trimmed", bytes.TrimSpace(encoded))
		hs256("the public key as a JWK", f.jwk(public.Public()))
	}
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	spy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { f.t.Errorf("a token made the server fetch %s", r.URL) }))
	f.t.Cleanup(spy.Close)
	public := string(f.jwk(own.Public()))
	for name, value := range map[string]string{
		"jwk": public, "jku": `"` + spy.URL + `/jku"`, "x5u": `"` + spy.URL + `/x5u"`, "x5c": `["MIIB"]`, "x5t": `"AAAA"`,
	} {
		for _, header := range []string{f.member(name, value), `{"alg":"EdDSA","` + name + `":` + value + `,"typ":"JWT"}`} {
			f.add(name+", signed by the attacker "+header[:20], f.signWith(own, b64(header)+"."+f.parts[1]))
			f.add(name+", signed by us "+header[:20], f.sign(header, f.payload))
		}
	}
}

func (f *forge) headers() {
	for _, kid := range []string{"", "../../../../etc/passwd", "/dev/null", "' OR '1'='1", "1; DROP TABLE session", `a\u0000b`, "| id", `\ud800`, strings.Repeat("k", 2000)} {
		f.add("kid "+kid[:min(len(kid), 30)], f.sign(f.member("kid", `"`+kid+`"`), f.payload))
	}
	for name, header := range map[string]string{
		"crit unknown": f.member("crit", `["x"],"x":1`), "crit empty": f.member("crit", `[]`), "crit exp": f.member("crit", `["exp"],"exp":1`),
		"b64 false": f.member("b64", `false,"crit":["b64"]`), "zip": f.member("zip", `"DEF"`), "cty": f.member("cty", `"JWT"`),
		"alg twice": f.member("alg", `"none"`), "typ other": strings.Replace(f.header, `"JWT"`, `"at+jwt"`, 1),
		"typ in lower case": strings.Replace(f.header, `"JWT"`, `"jwt"`, 1), "ALG": strings.Replace(f.header, `"alg"`, `"ALG"`, 1),
		"alg escaped": strings.Replace(f.header, `"alg"`, `"\u0061lg"`, 1), "a space": strings.Replace(f.header, ":", ": ", 1),
		"a line at the end": f.header + "\n", "empty": "{}",
	} {
		f.add("header "+name, f.sign(header, f.payload))
	}
	f.add("b64 false, and the payload bare", f.signWith(f.key, b64(f.member("b64", `false,"crit":["b64"]`))+"."+f.parts[1]))
	f.notJWT("header null", f.sign("null", f.payload))
	f.notJWT("header a list", f.sign("["+f.header+"]", f.payload))
	f.notJWT("header with a BOM", f.sign("\ufeff"+f.header, f.payload))
}

// claims changes one thing in the payload, and signs it with the server's key.
func (f *forge) claims() {
	var claim map[string]json.RawMessage
	if err := json.Unmarshal([]byte(f.payload), &claim); err != nil {
		f.t.Fatal(err)
	}
	set := func(name, value string) string {
		return strings.Replace(f.payload, `"`+name+`":`+string(claim[name]), `"`+name+`":`+value, 1)
	}
	for name := range claim {
		value := string(claim[name])
		f.add(name+" in upper case", f.sign(f.header, strings.Replace(f.payload, `"`+name+`"`, `"`+strings.ToUpper(name)+`"`, 1)))
		f.add(name+" twice", f.sign(f.header, set(name, value+`,"`+name+`":`+value)))
		for _, other := range []string{"null", "true", "{}", "[" + value + "]", "1e400", "1E2", "1.0", "-1", `"\u0031"`, `""`} {
			f.add(name+" "+other, f.sign(f.header, set(name, other)))
		}
	}
	for _, name := range []string{"iat", "exp", "networkId", "mailboxId"} {
		f.add(name+" a string", f.sign(f.header, set(name, `"`+string(claim[name])+`"`)))
		f.add(name+" with a fraction", f.sign(f.header, set(name, string(claim[name])+".0")))
		f.add(name+" past 64 bits", f.sign(f.header, set(name, "18446744073709551617")))
		f.notJWT(name+" with a leading zero", f.sign(f.header, set(name, "0"+string(claim[name]))))
	}
	f.add("sub a number", f.sign(f.header, set("sub", "4821")))
	f.add("sub of another", f.sign(`{"alg":"none"}`, set("sub", `"4822"`)))
	f.add("nbf", f.sign(f.header, strings.Replace(f.payload, "{", `{"nbf":1,`, 1)))
	f.add("a space", f.sign(f.header, strings.Replace(f.payload, ":", ": ", 1)))
	f.add("no claims", f.sign(f.header, "{}"))
	f.add("deep", f.sign(f.header, `{"x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+"}"))
	f.notJWT("payload a list", f.sign(f.header, "["+f.payload+"]"))
	f.notJWT("two payloads", f.sign(f.header, f.payload+f.payload))
	f.notJWT("no payload", f.sign(f.header, ""))
	f.notJWT("nested", f.sign(f.member("cty", `"JWT"`), strings.Join(f.parts, ".")))
}

func (f *forge) encodings() {
	good := strings.Join(f.parts, ".")
	for i, part := range f.parts {
		with := func(changed string) string {
			parts := append([]string(nil), f.parts...)
			parts[i] = changed
			return strings.Join(parts, ".")
		}
		if len(part)%4 != 0 { // there are spare bits
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			last := len(part) - 1
			f.add(fmt.Sprintf("spare bits in part %d", i), with(part[:last]+string(alphabet[strings.IndexByte(alphabet, part[last])^1])))
		}
		for name, changed := range map[string]string{"padding": part + "=", "padding twice": part + "==", "a line break": part[:8] + "\n" + part[8:],
			"CR LF": part[:8] + "\r\n" + part[8:], "a space": part[:8] + " " + part[8:], "NUL": part + "\x00", "plus": "+" + part[1:], "not ASCII": "ä" + part[1:]} {
			f.notJWT(fmt.Sprintf("%s in part %d", name, i), with(changed))
		}
	}
	json := `{"payload":"` + f.parts[1] + `","protected":"` + f.parts[0] + `","signature":"` + f.parts[2] + `"}`
	for name, text := range map[string]string{
		"JSON form": json, "JWE": good + ".AAAA.AAAA", "four parts": good + ".", "two parts": f.parts[0] + "." + f.parts[1], "a scheme before it": "Bearer " + good,
		"quoted": `"` + good + `"`, "a space before it": " " + good, "a space after it": good + " ", "twice": good + "," + good,
		"dots": strings.Repeat(".", 12_000), "two dots": "..", "SD-JWT": good + "~",
	} {
		f.notJWT(name, text)
	}
	f.add("longer than is looked at", f.sign(f.header, `{"x":"`+strings.Repeat("x", 9000)+`"}`))
}
