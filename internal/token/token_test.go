package token_test

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pawlauth/pawl/internal/token"
)

var (
	now    = time.Unix(1_795_500_000, 0)
	claims = token.Claims{
		Subject: 4821, IssuedAt: now.Unix(), Expires: now.Unix() + 3600, Session: token.SessionID{1, 2, 3},
		Generation: 7, AuthLevel: "MailboxAdmin", NetworkID: 1, MailboxID: 101,
	}
)

func newCodec(t testing.TB, alg token.Algorithm) (*token.Codec, *token.Key) {
	t.Helper()
	key, err := token.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return codecOf(t, key), key
}

func codecOf(t testing.TB, keys ...*token.Key) *token.Codec {
	t.Helper()
	set, err := token.NewKeySet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return token.NewCodec("pawl", "pawl", set)
}

func sign(t testing.TB, codec *token.Codec, c token.Claims) string {
	t.Helper()
	text, err := codec.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRoundTrip signs with each algorithm, and verifies the token with Pawl and with go-jose.
func TestRoundTrip(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			codec, key := newCodec(t, alg)
			text := sign(t, codec, claims)
			for _, codec := range []*token.Codec{codec, codecOf(t, key)} { // the second one has not cached the token
				got, err := codec.Verify(text, now)
				if err != nil || got != claims {
					t.Fatalf("Verify = %+v, %v", got, err)
				}
			}
			parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			var standard jwt.Claims
			if err := parsed.Claims(joseKey(t, key), &standard); err != nil {
				t.Fatalf("go-jose: %v", err)
			}
			if standard.Subject != "4821" || standard.ID != claims.ID() ||
				standard.Expiry.Time().Unix() != claims.Expires {
				t.Errorf("go-jose reads %+v", standard)
			}
			if alg != token.HS256 && parsed.Headers[0].KeyID != key.ID() {
				t.Errorf("kid %q, want %q", parsed.Headers[0].KeyID, key.ID())
			}
			again, err := token.ParseJWK(mustJWK(t, key))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := codecOf(t, again).Verify(text, now); err != nil || again.ID() != key.ID() {
				t.Errorf("after encoding and parsing the key: %v", err)
			}
			if public := key.Public(); public != nil {
				if _, err := codecOf(t, public).Verify(text, now); err != nil {
					t.Errorf("with the public key: %v", err)
				}
				if _, err := codecOf(t, public).Sign(claims); err == nil {
					t.Error("a public key signed")
				}
			}
		})
	}
}

// TestOptionalClaims signs tokens with optional claims, and verifies them with Pawl and with go-jose. A token without
// them is the same as before there were any.
func TestOptionalClaims(t *testing.T) {
	codec, key := newCodec(t, token.HS256)
	const extra = `{"a":[1,{"b":"}]{\\\""}],"plan":"gold"}`
	tests := map[string]token.Claims{
		`"mailboxId":101}`:                                        {},
		`"mailboxId":101,"externalId":"a\"b\\c é"}`:               {ExternalID: `a"b\c é`},
		`"mailboxId":101,"act":{"sub":"7"}}`:                      {ActorID: 7},
		`"mailboxId":101,"cookie":true}`:                          {Cookie: true},
		`"mailboxId":101,"ext":` + extra + `}`:                    {Extra: extra},
		`"externalId":"x","act":{"sub":"7"},"ext":` + extra + `}`: {ExternalID: "x", ActorID: 7, Extra: extra},
		`"act":{"sub":"7"},"cookie":true,"ext":` + extra + `}`:    {ActorID: 7, Cookie: true, Extra: extra},
	}
	for end, optional := range tests {
		c := claims
		c.ExternalID, c.ActorID = optional.ExternalID, optional.ActorID
		c.Cookie, c.Extra = optional.Cookie, optional.Extra
		text := sign(t, codec, c)
		if got, err := codec.Verify(text, now); err != nil || got != c {
			t.Errorf("Verify = %+v, %v; want %+v", got, err, c)
		}
		parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.HS256})
		if err != nil {
			t.Fatal(err)
		}
		var standard struct {
			ExternalID string          `json:"externalId"`
			Act        jwt.Claims      `json:"act"`
			Cookie     bool            `json:"cookie"`
			Ext        json.RawMessage `json:"ext"`
		}
		if err := parsed.Claims(joseKey(t, key), &standard); err != nil {
			t.Fatalf("go-jose: %v", err)
		}
		actor := ""
		if c.ActorID != 0 {
			actor = "7"
		}
		if standard.ExternalID != c.ExternalID || standard.Act.Subject != actor || standard.Cookie != c.Cookie ||
			string(standard.Ext) != c.Extra {
			t.Errorf("go-jose reads %+v", standard)
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
		if err != nil || !strings.HasSuffix(string(payload), end) {
			t.Errorf("the claims are %s, want ...%s", payload, end)
		}
	}
}

// TestOptionalClaimsOutOfRange checks that Sign refuses optional claims that Verify would not return.
func TestOptionalClaimsOutOfRange(t *testing.T) {
	codec, _ := newCodec(t, token.HS256)
	for _, optional := range []token.Claims{
		{ExternalID: "a\n"}, {ExternalID: "\xff"}, {ActorID: -1},
		{Extra: "1"}, {Extra: "{"}, {Extra: "{}}"}, {Extra: `{},"sub":{}`}, {Extra: `{"a":"b}`}, {Extra: "{]}"},
		{Extra: `{"a":"\"}`}, {Extra: "{\n}"}, {Extra: "{}\x00"}, {Extra: "{\"a\":\"\xff\"}"},
		{Extra: strings.Repeat(`{"a":`, 8) + "{}" + strings.Repeat("}", 8)},
	} {
		c := claims
		c.ExternalID, c.ActorID = optional.ExternalID, optional.ActorID
		c.Extra = optional.Extra
		if text, err := codec.Sign(c); err == nil {
			t.Errorf("Sign accepts %+v as %s", optional, text)
		}
	}
}

// TestCanonicalExtra checks which custom claims are accepted, and in which form.
func TestCanonicalExtra(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
	}
	sized := func(size int) string { return `{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}` }
	codec, _ := newCodec(t, token.HS256)
	for text, want := range map[string]string{
		`{}`: `{}`,
		` { "b" : [ 1.50, -0 ], "a" : "\u00e9\/" } `: `{"a":"é/","b":[1.5,0]}`,
		`{"id":12345678901234567890}`:                `{"id":12345678901234567890}`,
		`{"a":{"sub":1}}`:                            `{"a":{"sub":1}}`,
		`{"a":"sub"}`:                                `{"a":"sub"}`,
		nested(8):                                    nested(8),
		sized(1024):                                  sized(1024),
	} {
		got, err := token.CanonicalExtra([]byte(text))
		if err != nil || got != want {
			t.Errorf("CanonicalExtra(%s) = %s, %v; want %s", text, got, err, want)
		}
		c := claims
		c.Extra = got
		if read, err := codec.Verify(sign(t, codec, c), now); err != nil || read != c {
			t.Errorf("Verify = %+v, %v", read, err)
		}
	}
	for text, want := range map[string]string{
		``: "not valid JSON", `{`: "not valid JSON", `{"a":1}{}`: "not valid JSON",
		"{\"a\":\"\xff\"}": "not valid JSON",
		`[]`:               "not an object", `null`: "not an object",
		`{"a":1,"a":2}`: "twice", `{"a":{"b":1,"b":1}}`: "twice",
		nested(9): "8 levels", `{"a":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + `}`: "1024 bytes",
		sized(1025): "1024 bytes", `{"b":1,"sub":"2"}`: "the names", `{"\u0061ct":1}`: "the names",
	} {
		if got, err := token.CanonicalExtra([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CanonicalExtra(%.40s) = %s, %v; want an error with %q", text, got, err, want)
		}
	}
}

func mustJWK(t testing.TB, key *token.Key) []byte {
	t.Helper()
	text, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func joseKey(t testing.TB, key *token.Key) any {
	t.Helper()
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(mustJWK(t, key)); err != nil {
		t.Fatal(err)
	}
	if _, symmetric := jwk.Key.([]byte); symmetric {
		return jwk.Key
	}
	return jwk.Public().Key
}

// TestHeaderOfHS256 checks that a token begins with the header printed in the contract.
func TestHeaderOfHS256(t *testing.T) {
	codec, _ := newCodec(t, token.HS256)
	if text := sign(t, codec, claims); !strings.HasPrefix(text, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.") {
		t.Errorf("the token begins with %.40s", text)
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forger makes altered copies of a valid token, with signatures of the real key.
type forger struct {
	t       *testing.T
	secret  []byte
	payload string // the payload of a valid token
}

const hs256Header = `{"alg":"HS256","typ":"JWT"}`

// sign returns a signed text with this header and this encoded payload.
func (f forger) sign(header, payload string) string {
	text := b64(header) + "." + payload
	mac := hmac.New(sha256.New, f.secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// edit returns a signed token with new in place of old in its payload.
func (f forger) edit(old, new string) string {
	f.t.Helper()
	if !strings.Contains(f.payload, old) {
		f.t.Fatalf("the payload lacks %s", old)
	}
	return f.sign(hs256Header, b64(strings.Replace(f.payload, old, new, 1)))
}

// TestVerifyRejects covers the known attacks. Each text differs from a valid token in one respect. A payload made by
// hand is signed with the real key.
func TestVerifyRejects(t *testing.T) {
	codec, key := newCodec(t, token.HS256)
	good := sign(t, codec, claims)
	parts := strings.Split(good, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	forge := forger{t: t, secret: joseKey(t, key).([]byte), payload: string(payload)}
	if _, err := codec.Verify(forge.sign(hs256Header, parts[1]), now); err != nil {
		t.Fatalf("forger.sign does not make a valid token: %v", err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := len(good) - 1
	lastBit := good[:end] + string(alphabet[strings.IndexByte(alphabet, good[end])^1])
	other, _ := newCodec(t, token.HS256)
	keys, _ := token.NewKeySet(key)
	long := `{"x":"` + strings.Repeat("x", 5000) + `"}`
	expired := claims
	expired.Expires = now.Unix()
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":                  {"", token.ErrMalformed},
		"no dot":                 {"abc", token.ErrMalformed},
		"one dot":                {parts[0] + "." + parts[1], token.ErrMalformed},
		"three dots":             {good + ".", token.ErrMalformed},
		"not JSON":               {"a.b.c", token.ErrMalformed},
		"a megabyte of dots":     {strings.Repeat(".", 1<<20), token.ErrMalformed},
		"padding":                {good + "=", token.ErrMalformed},
		"line break":             {good[:60] + "\n" + good[60:], token.ErrMalformed},
		"NUL":                    {good + "\x00", token.ErrMalformed},
		"payload not base64":     {forge.sign(hs256Header, parts[1]+"\n"), token.ErrMalformed},
		"spare bits":             {lastBit, token.ErrInvalid},
		"no signature":           {parts[0] + "." + parts[1] + ".", token.ErrInvalid},
		"alg none":               {b64(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".", token.ErrInvalid},
		"another key":            {sign(t, other, claims), token.ErrInvalid},
		"another issuer":         {sign(t, token.NewCodec("other", "pawl", keys), claims), token.ErrInvalid},
		"another audience":       {sign(t, token.NewCodec("pawl", "other", keys), claims), token.ErrInvalid},
		"HMAC with public key":   {signedWithPublic(t), token.ErrInvalid},
		"data after the payload": {forge.sign(hs256Header, b64(string(payload)+" ")), token.ErrInvalid},
		"longer than MaxLength":  {forge.sign(hs256Header, b64(long)), token.ErrInvalid},
		"expires now":            {sign(t, codec, expired), token.ErrExpired},
	} {
		if _, err := codec.Verify(c.text, now); !errors.Is(err, c.want) || err == nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	checkHeadersAndClaims(t, codec, forge, parts[1])
}

// checkHeadersAndClaims checks that Verify rejects signed tokens with another header or with altered claims.
func checkHeadersAndClaims(t *testing.T, codec *token.Codec, forge forger, payload string) {
	t.Helper()
	const exp = `"exp":1795503600`
	for name, text := range map[string]string{
		"alg NoNe":         forge.sign(`{"alg":"NoNe","typ":"JWT"}`, payload),
		"header with kid":  forge.sign(`{"alg":"HS256","kid":"../../etc/passwd","typ":"JWT"}`, payload),
		"header with jwk":  forge.sign(`{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"}}`, payload),
		"header with crit": forge.sign(`{"alg":"HS256","typ":"JWT","crit":["x"],"x":1}`, payload),
		"alg twice":        forge.sign(`{"alg":"HS256","alg":"HS256","typ":"JWT"}`, payload),
		"header space":     forge.sign(`{"alg": "HS256","typ":"JWT"}`, payload),
		"exp a string":     forge.edit(exp, `"exp":"1795503600"`),
		"exp 1e400":        forge.edit(exp, `"exp":1e400`),
		"exp too large":    forge.edit(exp, `"exp":99999999999999999999`),
		"exp negative":     forge.edit(exp, `"exp":-1`),
		"EXP":              forge.edit(`"exp"`, `"EXP"`),
		"claim twice":      forge.edit(`"iat"`, `"sub":"1","iat"`),
		"generation 0":     forge.edit(`.7"`, `.0"`),
		"generation 2^32":  forge.edit(`.7"`, `.4294967296"`),
		"another sid":      forge.edit(`"sid":"AQ`, `"sid":"BQ`),
	} {
		if _, err := codec.Verify(text, now); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, token.ErrInvalid)
		}
	}
	// A leading zero is not even JSON.
	if _, err := codec.Verify(forge.edit(exp, `"exp":01795503600`), now); !errors.Is(err, token.ErrMalformed) {
		t.Errorf("leading zero: %v, want %v", err, token.ErrMalformed)
	}
}

// signedWithPublic returns a token whose HMAC is made with an ES256 key's public part, as in an algorithm confusion.
func signedWithPublic(t *testing.T) string {
	codec, key := newCodec(t, token.ES256)
	text := sign(t, codec, claims)
	public := mustJWK(t, key.Public())
	signed := b64(`{"alg":"HS256","kid":"`+key.ID()+`","typ":"JWT"}`) + "." + strings.Split(text, ".")[1]
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(signed))
	text = signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	if _, err := codec.Verify(text, now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("HMAC with the public key: %v", err)
	}
	return text
}

func TestSignRejects(t *testing.T) {
	codec, _ := newCodec(t, token.HS256)
	for _, c := range []token.Claims{
		{},
		{Subject: 1, Generation: 1, AuthLevel: `a"b`},
		{Subject: 1, AuthLevel: "Root"},
		{Subject: -1, Generation: 1, AuthLevel: "Root"},
	} {
		if _, err := codec.Sign(c); err == nil {
			t.Errorf("Sign(%+v) succeeds, but Verify would reject the token", c)
		}
	}
}

func TestParseJWKRejects(t *testing.T) {
	const zeros = `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`
	for _, jwk := range []string{
		``, `null`, `[]`, `{"kty":"oct","k":"AAAA"}`,
		`{"kty":"oct","k":` + zeros + `,"alg":"ES256"}`,
		`{"kty":"oct","k":` + zeros + `,"use":"enc"}`,
		`{"kty":"oct","k":` + zeros + `,"key_ops":["encrypt"]}`,
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
			`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`,
	} {
		if _, err := token.ParseJWK([]byte(jwk)); err == nil {
			t.Errorf("ParseJWK(%s) accepts the key", jwk)
		}
	}
}

// FuzzVerify compares the codec with go-jose. If the codec accepts a text, go-jose must accept it too, and the codec
// must produce the same text for the same claims.
func FuzzVerify(f *testing.F) {
	key, err := token.ParseJWK([]byte(`{"kty":"oct","k":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}`))
	if err != nil {
		f.Fatal(err)
	}
	codec := codecOf(f, key)
	good := sign(f, codec, claims)
	f.Add(good, false)
	f.Add(strings.Split(good, ".")[1], true)
	f.Fuzz(func(t *testing.T, text string, resign bool) {
		if resign { // a valid signature lets the fuzzer reach the parser of the claims
			mac := hmac.New(sha256.New, joseKey(t, key).([]byte))
			text = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + text
			mac.Write([]byte(text))
			text += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}
		c, err := codec.Verify(text, now)
		if err != nil {
			return
		}
		if again := sign(t, codec, c); again != text {
			t.Errorf("accepts %q, but signs %q", text, again)
		}
		parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.HS256})
		if err != nil {
			t.Fatalf("go-jose rejects %q: %v", text, err)
		}
		if err := parsed.Claims(joseKey(t, key), &jwt.Claims{}); err != nil {
			t.Errorf("go-jose rejects %q: %v", text, err)
		}
	})
}

// BenchmarkVerifyAndSign measures the codec's share of one refresh.
func BenchmarkVerifyAndSign(b *testing.B) {
	codec, _ := newCodec(b, token.HS256)
	text := sign(b, codec, claims)
	b.ReportAllocs()
	for b.Loop() {
		c, err := codec.Verify(text, now)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := codec.Sign(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range token.Algorithms {
		b.Run(string(alg), func(b *testing.B) {
			codec, _ := newCodec(b, alg)
			text := sign(b, codec, claims)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.Verify(text, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerifyOfManyKeys measures a token of the last key. A token of HS256 names no key, so every key is tried.
func BenchmarkVerifyOfManyKeys(b *testing.B) {
	for _, n := range []int{1, 2, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var keys []*token.Key
			for range n {
				key, err := token.GenerateKey(token.HS256)
				if err != nil {
					b.Fatal(err)
				}
				keys = append(keys, key)
			}
			last, err := token.NewKeySet(keys[n-1])
			if err != nil {
				b.Fatal(err)
			}
			all, err := token.NewKeySet(keys...)
			if err != nil {
				b.Fatal(err)
			}
			text := sign(b, token.NewCodec("pawl", "pawl", last), claims)
			codec := token.NewCodec("pawl", "pawl", all)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.Verify(text, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range token.Algorithms {
		b.Run(string(alg), func(b *testing.B) {
			codec, _ := newCodec(b, alg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.Sign(claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("3072", func(b *testing.B) {
		private, err := rsa.GenerateKey(rand.Reader, 3072)
		if err != nil {
			b.Fatal(err)
		}
		text, err := (&jose.JSONWebKey{Key: private}).MarshalJSON()
		if err != nil {
			b.Fatal(err)
		}
		key, err := token.ParseJWK(text)
		if err != nil {
			b.Fatal(err)
		}
		codec := codecOf(b, key)
		for b.Loop() {
			sign(b, codec, claims)
		}
	})
}

// TestOneSignature replaces s of ES256 signatures by order−s, to make a second valid signature of the same token. The
// codec must reject it, and must never make it.
func TestOneSignature(t *testing.T) {
	codec, key := newCodec(t, token.ES256)
	for range 50 {
		text := sign(t, codec, claims)
		if _, err := codecOf(t, key).Verify(text, now); err != nil { // a codec that has not cached the token
			t.Fatal(err)
		}
		dot := strings.LastIndex(text, ".")
		raw, err := base64.RawURLEncoding.DecodeString(text[dot+1:])
		if err != nil {
			t.Fatal(err)
		}
		s := new(big.Int).SetBytes(raw[32:])
		s.Sub(elliptic.P256().Params().N, s).FillBytes(raw[32:])
		other := text[:dot+1] + base64.RawURLEncoding.EncodeToString(raw)
		if _, err := codec.Verify(other, now); !errors.Is(err, token.ErrInvalid) {
			t.Fatalf("the other signature: %v, want ErrInvalid", err)
		}
	}
}
