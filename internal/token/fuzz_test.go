package token_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pawlauth/pawl/internal/token"
)

// FuzzClaims signs arbitrary claims for an arbitrary issuer. If Sign succeeds, Pawl and go-jose must both read the same
// claims back.
func FuzzClaims(f *testing.F) {
	key, err := token.GenerateKey(token.HS256)
	if err != nil {
		f.Fatal(err)
	}
	set, err := token.NewKeySet(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("pawl", "pawl", int64(4821), now.Unix(), now.Unix()+3600, []byte{1, 2, 3}, uint32(7), "MailboxAdmin",
		int64(1), int64(101), "crm-7", int64(9), true, `{"plan":"gold"}`)
	f.Add(`"</script>\`, "\xff\u2028", int64(1), int64(0), int64(1)<<62, []byte(nil), ^uint32(0), "a",
		int64(0), int64(0), `a"\\b`, int64(0), false, `{"a":[{"b":"}\\""}]}`)
	f.Add("", "", int64(-1), int64(-1), int64(-1), []byte("0123456789abcdef"), uint32(0), `"`,
		int64(-1), int64(-1), "\n", int64(-1), false, `{},"sub":{}`)
	f.Fuzz(func(t *testing.T, issuer, audience string, sub, iat, exp int64, sid []byte, generation uint32, level string,
		network, mailbox int64, externalID string, actor int64, cookie bool, extra string) {
		c := token.Claims{
			Subject: sub, IssuedAt: iat, Expires: exp, Generation: generation, AuthLevel: level,
			NetworkID: network, MailboxID: mailbox, ExternalID: externalID, ActorID: actor, Cookie: cookie,
			Extra: extra,
		}
		copy(c.Session[:], sid)
		codec := token.NewCodec(issuer, audience, set)
		text, err := codec.Sign(c)
		if err != nil {
			return
		}
		got, err := codec.Verify(text, now)
		if len(text) > token.MaxLength {
			if err == nil {
				t.Fatalf("Verify accepts a token of %d bytes", len(text))
			}
			return
		}
		if got != c || (err == nil) != (exp > now.Unix()) {
			t.Fatalf("Verify = %+v, %v; signed %+v", got, err, c)
		}
		if extra == "" || json.Valid([]byte(extra)) { // Sign leaves the rest of the check to CanonicalExtra
			checkWithGoJose(t, text, joseKey(t, key), issuer, c)
		}
	})
}

// checkWithGoJose fails the test unless go-jose reads the claims of a token.
func checkWithGoJose(t *testing.T, text string, key any, issuer string, want token.Claims) {
	var got struct {
		Issuer     string          `json:"iss"`
		Subject    int64           `json:"sub,string"`
		IssuedAt   int64           `json:"iat"`
		Expires    int64           `json:"exp"`
		ID         string          `json:"jti"`
		Session    string          `json:"sid"`
		AuthLevel  string          `json:"authLevel"`
		NetworkID  int64           `json:"networkId"`
		MailboxID  int64           `json:"mailboxId"`
		ExternalID string          `json:"externalId"`
		Cookie     bool            `json:"cookie"`
		Extra      json.RawMessage `json:"ext"`
		Actor      struct {
			Subject int64 `json:"sub,string"`
		} `json:"act"`
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.HS256})
	if err == nil {
		err = parsed.Claims(key, &got)
	}
	if err != nil {
		t.Fatalf("go-jose rejects %s: %v", text, err)
	}
	if utf8.ValidString(issuer) && got.Issuer != issuer || got.ID != want.ID() || got.Session != want.Session.String() {
		t.Fatalf("go-jose reads %+v from %s", got, text)
	}
	claims := token.Claims{
		Subject: got.Subject, IssuedAt: got.IssuedAt, Expires: got.Expires, Session: want.Session,
		Generation: want.Generation, AuthLevel: got.AuthLevel, NetworkID: got.NetworkID, MailboxID: got.MailboxID,
		ExternalID: got.ExternalID, ActorID: got.Actor.Subject, Cookie: got.Cookie, Extra: string(got.Extra),
	}
	if claims != want {
		t.Fatalf("go-jose reads %+v, want %+v", claims, want)
	}
}

// FuzzParseJWK parses an arbitrary text as a key. An accepted key must survive encoding and parsing, and must verify
// its own signatures. An error must not quote a secret.
func FuzzParseJWK(f *testing.F) {
	for _, alg := range token.Algorithms {
		if alg == token.RS256 {
			continue // generating an RSA key takes long, so one of the seeds below is an RSA key
		}
		key, err := token.GenerateKey(alg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(mustJWK(f, key))
		if public := key.Public(); public != nil {
			f.Add(mustJWK(f, public))
		}
	}
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"kty":"RSA","n":"AQAB","e":"AQ"}`,
		`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`,
		`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7h` +
			`cvPapiMlrwIaaPcHURo"}`,
		`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"kPrK_qmxVWaYVA9wwBF6Iuo3` +
			`vVzz7TxHCTwXBygrS4k"}`,
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6` +
			`pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`,
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6` +
			`pCyStikYjKIWI5a0","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`,
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6` +
			`pCyStikYjKIWI5a0","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		`{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow","k` +
			`ty":"oct"}`,
		`{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow","u` +
			`se":"enc","key_ops":7}`,
		`{"kty":"RSA","e":"AQ","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJP` +
			`MEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rex` +
			`MdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF` +
			`8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := token.ParseJWKSet(text)
		checkQuotesNoSecret(t, text, err)
		for _, key := range keys {
			checkRoundTrip(t, key)
		}
		if one, err := token.ParseJWK(text); err == nil && (len(keys) != 1 || keys[0].ID() != one.ID()) {
			t.Errorf("ParseJWK returns key %s, ParseJWKSet returns %v", one.ID(), keys)
		}
	})
}

// checkQuotesNoSecret fails the test if an error contains a private member of the key.
func checkQuotesNoSecret(t *testing.T, text []byte, err error) {
	var secret struct{ K, D, P, Q, DP, DQ, QI string }
	if err == nil || json.Unmarshal(text, &secret) != nil {
		return
	}
	for _, value := range []string{secret.K, secret.D, secret.P, secret.Q, secret.DP, secret.DQ, secret.QI} {
		if len(value) > 8 && strings.Contains(err.Error(), value) {
			t.Errorf("the error quotes a secret: %v", err)
		}
	}
}

// checkRoundTrip fails the test unless an encoded and parsed key is the same key, and verifies what the key signs.
func checkRoundTrip(t *testing.T, key *token.Key) {
	again, err := token.ParseJWK(mustJWK(t, key))
	if err != nil {
		t.Fatalf("ParseJWK(%s): %v", mustJWK(t, key), err)
	}
	if again.ID() != key.ID() || again.Algorithm() != key.Algorithm() || again.CanSign() != key.CanSign() {
		t.Fatalf("ParseJWK(%s) returns another key: %s", mustJWK(t, key), mustJWK(t, again))
	}
	if public := key.Public(); public != nil && public.ID() != key.ID() {
		t.Errorf("the public part of %s has another id", key.ID())
	}
	text, err := codecOf(t, key).Sign(claims)
	if (err == nil) != key.CanSign() {
		t.Fatalf("CanSign returns %v, Sign returns %v", key.CanSign(), err)
	}
	if err != nil {
		return
	}
	if _, err := codecOf(t, again).Verify(text, now); err != nil {
		t.Errorf("%s rejects its own signature: %v", mustJWK(t, key), err)
	}
}
