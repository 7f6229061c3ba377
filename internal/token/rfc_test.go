package token_test

import (
	"testing"

	"github.com/pawlauth/pawl/internal/token"
)

// joe is the payload of the JWSs in RFC 7515, appendix A.
const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

// rfcExamples are the keys and signatures printed in the RFCs.
var rfcExamples = []struct{ name, jwk, signed, signature, thumbprint string }{
	{
		name: "RFC 7515 A.1",
		jwk: `{"kty":"oct",` +
			`"k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`,
		signed:    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe,
		signature: `dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`,
	},
	{
		name: "RFC 7515 A.2",
		jwk: `{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw` +
			`-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpa` +
			`SHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX` +
			`FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}`,
		signed: "eyJhbGciOiJSUzI1NiJ9." + joe,
		signature: `cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGb` +
			`ds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_` +
			`eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AX` +
			`LIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw`,
	},
	{
		name: "RFC 7515 A.3",
		jwk: `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_t` +
			`ue659LNpXW6pCyStikYjKIWI5a0"}`,
		signed:    "eyJhbGciOiJFUzI1NiJ9." + joe,
		signature: `DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`,
	},
	{
		name: "RFC 8037 A.1 to A.5",
		jwk: `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfV` +
			`S_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		signed:     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
		signature:  `hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg`,
		thumbprint: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
	},
	{
		name: "RFC 7638 3.1",
		jwk: `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhD` +
			`R1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qvz` +
			`qY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRw` +
			`r3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
		thumbprint: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
	},
}

// TestExamplesOfTheRFCs checks the keys and signatures printed in the RFCs. Their headers differ from Pawl's, so the
// codec must reject each token.
func TestExamplesOfTheRFCs(t *testing.T) {
	for _, c := range rfcExamples {
		key, err := token.ParseJWK([]byte(c.jwk))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.thumbprint != "" && key.ID() != c.thumbprint {
			t.Errorf("%s: thumbprint %s, want %s", c.name, key.ID(), c.thumbprint)
		}
		if c.signed == "" {
			continue
		}
		signature := lowS(key, c.signature)
		if !key.Verifies(c.signed, signature) || key.Verifies(c.signed+" ", signature) {
			t.Errorf("%s: Verifies rejects the signature, or accepts it for another text", c.name)
		}
		if _, err := codecOf(t, key).Verify(c.signed+"."+signature, now); err == nil {
			t.Errorf("%s: the codec accepts a token with a foreign header", c.name)
		}
	}
	// A.4 is ES512, A.5 is alg none, A.6 and A.7 are not in compact form.
	for _, text := range []string{
		"eyJhbGciOiJub25lIn0." + joe + ".",
		`{"payload":"` + joe + `","protected":"eyJhbGciOiJFUzI1NiJ9","signature":"x"}`,
	} {
		if _, err := codecOf(t, must(token.GenerateKey(token.HS256))).Verify(text, now); err == nil {
			t.Errorf("the codec accepts %s", text)
		}
	}
	if _, err := token.ParseJWK([]byte(`{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcB` +
		`pXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79` +
		`ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}`)); err == nil {
		t.Error("RFC 7515 A.4: ParseJWK accepts a P-521 key")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
