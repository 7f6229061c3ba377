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
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// TestHostileTokens sends known attacks on JWTs, as bearer tokens and to a refresh, with each algorithm. A refresh of a
// text without the form of a JWT gets 400. Everything else gets 401, and the session does not change.
func TestHostileTokens(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			key, path := writeSigningKey(t, alg)
			b := start(t, pawltest.WithConfig(func(c *app.Config) { c.SigningKeyFile = path }))
			good := b.login()
			f := newForge(t, key, good)
			b.session(200, f.sign(f.header, f.payload)) // the forge can sign, so attacks are rejected for their content
			for _, a := range f.attacks() {
				t.Run(a.name, func(t *testing.T) {
					b := &browser{t, b.Server}
					body, _ := json.Marshal(map[string]string{"token": a.text})
					status, code := 401, api.CodeInvalidSession
					if !a.isJWT {
						status, code = 400, api.CodeInvalidParameter
					}
					b.expect(status, code, "POST", "/v2/auth/refresh", string(body))
					if strings.TrimSpace(a.text) == a.text && !strings.ContainsAny(a.text, "\r\n\x00") {
						b.session(401, a.text) // a header can contain it
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

// attack is a token for the server to reject.
type attack struct {
	name, text string
	isJWT      bool // it has the form of a JWT
}

// forge makes attacks from the parts of a valid token and from its signing key.
type forge struct {
	t               *testing.T
	key             any
	header, payload string // JSON
	parts           []string
	all             []attack
}

func newForge(t *testing.T, key *token.Key, good string) *forge {
	t.Helper()
	text, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	f := &forge{t: t, key: jwk.Key, parts: strings.Split(good, ".")}
	f.header, f.payload = f.decode(0), f.decode(1)
	return f
}

func (f *forge) decode(part int) string {
	f.t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(f.parts[part])
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

func (f *forge) attacks() []attack {
	f.algorithms()
	f.otherKeys()
	f.headers()
	f.claims()
	f.encodings()
	return f.all
}

// add adds an attack in the form of a JWT, and notJWT adds one in another form.
func (f *forge) add(name, text string) {
	f.all = append(f.all, attack{name: name, text: text, isJWT: true})
}

func (f *forge) notJWT(name, text string) {
	f.all = append(f.all, attack{name: name, text: text})
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign returns a token of any header and payload with a valid signature. The content is the only reason to reject the
// token.
func (f *forge) sign(header, payload string) string {
	f.t.Helper()
	return f.signWith(f.key, b64(header)+"."+b64(payload))
}

// signWith appends the signature of a key.
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
		err = signErr
		if other := new(big.Int).Sub(k.Params().N, s); other.Cmp(s) < 0 {
			s = other // Pawl accepts only the lower one
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
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

// jwk returns the bytes that a confused verifier could use as an HMAC key.
func (f *forge) jwk(key any) []byte {
	f.t.Helper()
	text, err := (jose.JSONWebKey{Key: key}).MarshalJSON()
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// with returns the header with one more member in front.
func (f *forge) with(name, value string) string {
	return strings.Replace(f.header, "{", `{"`+name+`":`+value+",", 1)
}

// algorithms changes alg, and leaves out or replaces the signature.
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
		zeros := b64(string(make([]byte, size)))
		f.add(fmt.Sprintf("a signature of %d zero bytes", size), f.parts[0]+"."+f.parts[1]+"."+zeros)
	}
	if key, ok := f.key.(*ecdsa.PrivateKey); ok {
		digest := sha256.Sum256([]byte(f.parts[0] + "." + f.parts[1]))
		der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			f.t.Fatal(err)
		}
		f.add("ES256 in ASN.1", f.parts[0]+"."+f.parts[1]+"."+b64(string(der)))
		signature := []byte(f.decode(2))
		s := new(big.Int).SetBytes(signature[32:])
		s.Sub(key.Params().N, s).FillBytes(signature[32:])
		f.add("ES256 with the higher s", f.parts[0]+"."+f.parts[1]+"."+b64(string(signature)))
	}
}

// otherKeys signs with the keys of an attacker: none, the public key, and a key of the attacker.
func (f *forge) otherKeys() {
	hs256 := func(name string, secret []byte) {
		for _, header := range []string{
			`{"alg":"HS256","typ":"JWT"}`, f.header, `{"alg":"HS256","kid":"../../dev/null","typ":"JWT"}`,
		} {
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
	spy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		f.t.Errorf("a token made the server fetch %s", r.URL)
	}))
	f.t.Cleanup(spy.Close)
	public := string(f.jwk(own.Public()))
	for name, value := range map[string]string{
		"jwk": public, "jku": `"` + spy.URL + `/jku"`, "x5u": `"` + spy.URL + `/x5u"`, "x5c": `["MIIB"]`,
		"x5t": `"AAAA"`,
	} {
		eddsa := `{"alg":"EdDSA","` + name + `":` + value + `,"typ":"JWT"}`
		for _, header := range []string{f.with(name, value), eddsa} {
			f.add(name+", signed by the attacker "+header[:20], f.signWith(own, b64(header)+"."+f.parts[1]))
			f.add(name+", signed by the server's key "+header[:20], f.sign(header, f.payload))
		}
	}
}

// headers changes one thing in the header.
func (f *forge) headers() {
	for _, kid := range []string{
		"", "../../../../etc/passwd", "/dev/null", "' OR '1'='1", "1; DROP TABLE session", `a\u0000b`, "| id", `\ud800`,
		strings.Repeat("k", 2000),
	} {
		f.add("kid "+kid[:min(len(kid), 30)], f.sign(f.with("kid", `"`+kid+`"`), f.payload))
	}
	replaced := func(old, other string) string { return strings.Replace(f.header, old, other, 1) }
	unencoded := f.with("b64", `false,"crit":["b64"]`)
	for name, header := range map[string]string{
		"crit unknown":       f.with("crit", `["x"],"x":1`),
		"crit empty":         f.with("crit", `[]`),
		"crit exp":           f.with("crit", `["exp"],"exp":1`),
		"b64 false":          unencoded,
		"zip":                f.with("zip", `"DEF"`),
		"cty":                f.with("cty", `"JWT"`),
		"alg twice":          f.with("alg", `"none"`),
		"another typ":        replaced(`"JWT"`, `"at+jwt"`),
		"typ in lower case":  replaced(`"JWT"`, `"jwt"`),
		"ALG":                replaced(`"alg"`, `"ALG"`),
		"alg escaped":        replaced(`"alg"`, `"\u0061lg"`),
		"a space":            replaced(":", ": "),
		"a line break after": f.header + "\n",
		"empty":              "{}",
	} {
		f.add("header "+name, f.sign(header, f.payload))
	}
	f.add("b64 false with a plain payload", f.signWith(f.key, b64(unencoded)+"."+f.parts[1]))
	f.notJWT("header null", f.sign("null", f.payload))
	f.notJWT("header in a list", f.sign("["+f.header+"]", f.payload))
	f.notJWT("header with a BOM", f.sign("\ufeff"+f.header, f.payload))
}

// claims changes one thing in the payload, and signs it with the server's key.
func (f *forge) claims() {
	var claim map[string]json.RawMessage
	if err := json.Unmarshal([]byte(f.payload), &claim); err != nil {
		f.t.Fatal(err)
	}
	replaced := func(old, other string) string {
		return f.sign(f.header, strings.Replace(f.payload, old, other, 1))
	}
	set := func(name, value string) string {
		return replaced(`"`+name+`":`+string(claim[name]), `"`+name+`":`+value)
	}
	for name := range claim {
		value := string(claim[name])
		f.add(name+" in upper case", replaced(`"`+name+`"`, `"`+strings.ToUpper(name)+`"`))
		f.add(name+" twice", set(name, value+`,"`+name+`":`+value))
		for _, other := range []string{
			"null", "true", "{}", "[" + value + "]", "1e400", "1E2", "1.0", "-1", `"\u0031"`, `""`,
		} {
			f.add(name+" "+other, set(name, other))
		}
	}
	for _, name := range []string{"iat", "exp", "networkId", "mailboxId"} {
		value := string(claim[name])
		f.add(name+" as a string", set(name, `"`+value+`"`))
		f.add(name+" with a fraction", set(name, value+".0"))
		f.add(name+" above 64 bits", set(name, "18446744073709551617"))
		f.notJWT(name+" with a leading zero", set(name, "0"+value))
	}
	f.add("sub as a number", set("sub", "4821"))
	otherUser := strings.Replace(f.payload, `"sub":`+string(claim["sub"]), `"sub":"4822"`, 1)
	f.add("sub of another user", f.sign(`{"alg":"none"}`, otherUser))
	f.add("nbf", replaced("{", `{"nbf":1,`))
	f.add("a space", replaced(":", ": "))
	f.add("no claims", f.sign(f.header, "{}"))
	f.add("deep nesting", f.sign(f.header, `{"x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+"}"))
	f.notJWT("payload in a list", f.sign(f.header, "["+f.payload+"]"))
	f.notJWT("two payloads", f.sign(f.header, f.payload+f.payload))
	f.notJWT("no payload", f.sign(f.header, ""))
	f.notJWT("a JWT as payload", f.sign(f.with("cty", `"JWT"`), strings.Join(f.parts, ".")))
}

// encodings encodes the valid token in other ways.
func (f *forge) encodings() {
	good := strings.Join(f.parts, ".")
	for i, part := range f.parts {
		with := func(changed string) string {
			parts := slices.Clone(f.parts)
			parts[i] = changed
			return strings.Join(parts, ".")
		}
		if len(part)%4 != 0 { // the last character has unused bits
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			last := len(part) - 1
			other := alphabet[strings.IndexByte(alphabet, part[last])^1]
			f.add(fmt.Sprintf("unused bits in part %d", i), with(part[:last]+string(other)))
		}
		for name, changed := range map[string]string{
			"padding":       part + "=",
			"padding twice": part + "==",
			"a line break":  part[:8] + "\n" + part[8:],
			"CR LF":         part[:8] + "\r\n" + part[8:],
			"a space":       part[:8] + " " + part[8:],
			"NUL":           part + "\x00",
			"plus":          "+" + part[1:],
			"not ASCII":     "ä" + part[1:],
		} {
			f.notJWT(fmt.Sprintf("%s in part %d", name, i), with(changed))
		}
	}
	json := `{"payload":"` + f.parts[1] + `","protected":"` + f.parts[0] + `","signature":"` + f.parts[2] + `"}`
	for name, text := range map[string]string{
		"JSON form":          json,
		"JWE":                good + ".AAAA.AAAA",
		"four parts":         good + ".",
		"two parts":          f.parts[0] + "." + f.parts[1],
		"a scheme in front":  "Bearer " + good,
		"quotes":             `"` + good + `"`,
		"a space in front":   " " + good,
		"a space at the end": good + " ",
		"twice":              good + "," + good,
		"only dots":          strings.Repeat(".", 12_000),
		"two dots":           "..",
		"SD-JWT":             good + "~",
	} {
		f.notJWT(name, text)
	}
	f.add("longer than the limit", f.sign(f.header, `{"x":"`+strings.Repeat("x", 9000)+`"}`))
}
