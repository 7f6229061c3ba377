package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pawlauth/pawl/internal/token"
)

var (
	now    = time.Unix(1_795_500_000, 0)
	claims = token.Claims{Subject: 4821, IssuedAt: now.Unix(), Expires: now.Unix() + 3600, Session: token.SessionID{1, 2, 3},
		Generation: 7, AuthLevel: "MailboxAdmin", NetworkID: 1, MailboxID: 101}
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

// TestRoundTrip signs with each algorithm, and reads the token with Pawl and
// with go-jose.
func TestRoundTrip(t *testing.T) {
	for _, alg := range token.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			codec, key := newCodec(t, alg)
			text := sign(t, codec, claims)
			got, err := codec.Verify(text, now)
			if err != nil || got != claims {
				t.Fatalf("Verify = %+v, %v", got, err)
			}
			parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			var standard jwt.Claims
			if err := parsed.Claims(joseKey(t, key), &standard); err != nil {
				t.Fatalf("go-jose: %v", err)
			}
			if standard.Subject != "4821" || standard.ID != claims.ID() || standard.Expiry.Time().Unix() != claims.Expires {
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
				t.Errorf("a key that was stored and read: %v", err)
			}
			if public := key.Public(); public != nil {
				if _, err := codecOf(t, public).Verify(text, now); err != nil {
					t.Errorf("the public key: %v", err)
				}
				if _, err := codecOf(t, public).Sign(claims); err == nil {
					t.Error("a public key signed")
				}
			}
		})
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

func TestHeaderIsTheSeedPages(t *testing.T) {
	codec, _ := newCodec(t, token.HS256)
	if text := sign(t, codec, claims); !strings.HasPrefix(text, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.") {
		t.Errorf("the token begins %.40s", text)
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// TestRefused holds the known attacks; each differs from a good token in one
// thing. Where a payload is made by hand, it is signed with the real key.
func TestRefused(t *testing.T) {
	codec, key := newCodec(t, token.HS256)
	secret := joseKey(t, key).([]byte)
	good := sign(t, codec, claims)
	parts := strings.Split(good, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	signed := func(header, payload string) string {
		text := b64(header) + "." + payload
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	const header = `{"alg":"HS256","typ":"JWT"}`
	if _, err := codec.Verify(signed(header, b64(string(payload))), now); err != nil {
		t.Fatalf("the helper makes no good token: %v", err)
	}
	edit := func(old, new string) string {
		if !strings.Contains(string(payload), old) {
			t.Fatalf("%s is not in the payload", old)
		}
		return signed(header, b64(strings.Replace(string(payload), old, new, 1)))
	}
	lastBit := good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.IndexByte(
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])^1])
	other, _ := newCodec(t, token.HS256)
	elsewhere, _ := token.NewKeySet(key)
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":                {"", token.ErrMalformed},
		"no dot":               {"abc", token.ErrMalformed},
		"one dot":              {parts[0] + "." + parts[1], token.ErrMalformed},
		"three dots":           {good + ".", token.ErrMalformed},
		"not JSON":             {"a.b.c", token.ErrMalformed},
		"a megabyte of dots":   {strings.Repeat(".", 1<<20), token.ErrMalformed},
		"padding":              {good + "=", token.ErrMalformed},
		"line break":           {good[:60] + "\n" + good[60:], token.ErrMalformed},
		"NUL":                  {good + "\x00", token.ErrMalformed},
		"spare bits":           {lastBit, token.ErrInvalid},
		"no signature":         {parts[0] + "." + parts[1] + ".", token.ErrInvalid},
		"alg none":             {b64(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".", token.ErrInvalid},
		"alg NoNe, signed":     {signed(`{"alg":"NoNe","typ":"JWT"}`, parts[1]), token.ErrInvalid},
		"another key":          {sign(t, other, claims), token.ErrInvalid},
		"another issuer":       {sign(t, token.NewCodec("other", "pawl", elsewhere), claims), token.ErrInvalid},
		"another audience":     {sign(t, token.NewCodec("pawl", "other", elsewhere), claims), token.ErrInvalid},
		"header with kid":      {signed(`{"alg":"HS256","kid":"../../etc/passwd","typ":"JWT"}`, parts[1]), token.ErrInvalid},
		"header with jwk":      {signed(`{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"}}`, parts[1]), token.ErrInvalid},
		"header with crit":     {signed(`{"alg":"HS256","typ":"JWT","crit":["x"],"x":1}`, parts[1]), token.ErrInvalid},
		"header alg twice":     {signed(`{"alg":"HS256","alg":"HS256","typ":"JWT"}`, parts[1]), token.ErrInvalid},
		"header with space":    {signed(`{"alg": "HS256","typ":"JWT"}`, parts[1]), token.ErrInvalid},
		"exp a string":         {edit(`"exp":1795503600`, `"exp":"1795503600"`), token.ErrInvalid},
		"exp 1e400":            {edit(`"exp":1795503600`, `"exp":1e400`), token.ErrInvalid},
		"exp too large":        {edit(`"exp":1795503600`, `"exp":99999999999999999999`), token.ErrInvalid},
		"exp negative":         {edit(`"exp":1795503600`, `"exp":-1`), token.ErrInvalid},
		"leading zero":         {edit(`"exp":1795503600`, `"exp":01795503600`), token.ErrMalformed},
		"EXP":                  {edit(`"exp"`, `"EXP"`), token.ErrInvalid},
		"claim twice":          {edit(`"iat"`, `"sub":"1","iat"`), token.ErrInvalid},
		"generation 0":         {edit(`.7"`, `.0"`), token.ErrInvalid},
		"generation 2^32":      {edit(`.7"`, `.4294967296"`), token.ErrInvalid},
		"sid of another":       {edit(`"sid":"AQ`, `"sid":"BQ`), token.ErrInvalid},
		"more after the end":   {signed(header, b64(string(payload)+" ")), token.ErrInvalid},
		"payload not base64":   {signed(header, parts[1]+"\n"), token.ErrMalformed},
		"longer than we look":  {signed(header, b64(`{"x":"`+strings.Repeat("x", 5000)+`"}`)), token.ErrInvalid},
		"now is exp":           {sign(t, codec, token.Claims{Subject: 1, Expires: now.Unix(), Session: claims.Session, Generation: 1, AuthLevel: "Root"}), token.ErrExpired},
		"HMAC with public key": {signedWithPublic(t), token.ErrInvalid},
	} {
		_, err := codec.Verify(c.text, now)
		if !errors.Is(err, c.want) || err == nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

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

func TestSignRefuses(t *testing.T) {
	codec, _ := newCodec(t, token.HS256)
	for _, c := range []token.Claims{{}, {Subject: 1, Generation: 1, AuthLevel: `a"b`}, {Subject: 1, AuthLevel: "Root"}, {Subject: -1, Generation: 1, AuthLevel: "Root"}} {
		if _, err := codec.Sign(c); err == nil {
			t.Errorf("Sign(%+v) gave a token that Verify would not read", c)
		}
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	for _, jwk := range []string{``, `null`, `[]`, `{"kty":"oct","k":"AAAA"}`, `{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"ES256"}`,
		`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","use":"enc"}`,
		`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","key_ops":["encrypt"]}`,
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`} {
		if _, err := token.ParseJWK([]byte(jwk)); err == nil {
			t.Errorf("ParseJWK(%s) took it", jwk)
		}
	}
}

// FuzzVerify holds the codec against go-jose: what it takes, go-jose takes, and
// it is to the letter what the codec writes for the same claims.
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
		if resign { // reach the parser of the claims, behind the signature
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
			t.Errorf("took %q, writes %q", text, again)
		}
		parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.HS256})
		if err != nil {
			t.Fatalf("go-jose refuses %q: %v", text, err)
		}
		if err := parsed.Claims(joseKey(t, key), &jwt.Claims{}); err != nil {
			t.Errorf("go-jose refuses %q: %v", text, err)
		}
	})
}

// BenchmarkVerifyAndSign is what one refresh needs of the codec.
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

// BenchmarkVerifyOfManyKeys: tokens of HS256 name no key, so one of the last key
// is tried with each before it.
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
}
