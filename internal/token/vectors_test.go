package token_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/internal/token"
)

// vectors is a Wycheproof file, with the members used by these tests.
type vectors struct {
	TestGroups []vectorGroup
}

type vectorGroup struct {
	Comment         string
	Private, Public json.RawMessage // JSON Web Keys
	PublicKeyDer    string          // hex
	KeySize         int             // bits
	TagSize         int             // bits
	Tests           []vector
}

type vector struct {
	ID      int `json:"tcId"`
	Comment string
	Result  string          // valid, invalid or acceptable
	JWS     json.RawMessage // a string, or an object of the JSON form
	Key     string          // hex, as are the next three
	Msg     string
	Sig     string
	Tag     string
}

func readVectors(t *testing.T, name string) []vectorGroup {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, name+"_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file vectors
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.TestGroups
}

// outcomes counts the vectors of one file by their outcome.
type outcomes map[string]int

func (n outcomes) log(t *testing.T, name string) {
	t.Helper()
	for _, outcome := range slices.Sorted(maps.Keys(n)) {
		t.Logf("%s: %4d %s", name, n[outcome], outcome)
	}
}

const checked = "checked"

// unsupported lists the Wycheproof key algorithms not supported by Pawl.
var unsupported = []string{
	"RS384", "RS512", "PS256", "PS384", "PS512", "ES521", "HS384", "HS512", "A256GCM", "A256KW", "ECDH-ES+A128KW",
}

// TestWycheproofJWS runs the vectors whose key is a JSON Web Key and whose text is a JWS. Their headers differ from
// Pawl's, so the codec must reject every text. The signature is checked apart from the codec, with the parsed key.
func TestWycheproofJWS(t *testing.T) {
	for _, name := range []string{"json_web_signature", "json_web_key", "json_web_crypto"} {
		n := outcomes{}
		for _, group := range readVectors(t, name) {
			text := group.Public
			if text == nil {
				text = group.Private
			}
			keys, err := token.ParseJWKSet(text)
			for _, v := range group.Tests {
				outcome := checkJWS(v, keys, err, algOf(text))
				if !strings.HasPrefix(outcome, checked) && !strings.HasPrefix(outcome, "skipped: ") {
					t.Errorf("%s %s %d %s (%s): %s", name, group.Comment, v.ID, v.Comment, v.Result, outcome)
				}
				n[outcome]++
			}
		}
		n.log(t, name)
	}
}

// algOf returns the alg of the first key.
func algOf(text []byte) string {
	var key struct {
		Alg  string
		Keys []struct{ Alg string }
	}
	_ = json.Unmarshal(text, &key)
	if len(key.Keys) > 0 {
		return key.Keys[0].Alg
	}
	return key.Alg
}

// checkJWS returns the outcome of a vector. If an outcome begins with neither checked nor skipped, it is a failure.
func checkJWS(v vector, keys []*token.Key, parseErr error, alg string) string {
	if parseErr != nil {
		switch {
		case slices.Contains(unsupported, alg):
			return fmt.Sprintf("skipped: alg %s is unsupported: the key parser rejects it (checked)", alg)
		case v.Result == "invalid":
			return checked + ": the key parser rejects the key"
		}
		return "the key parser rejects a valid key: " + parseErr.Error()
	}
	set, err := token.NewKeySet(keys...)
	if err != nil {
		return err.Error()
	}
	text := string(v.JWS)
	_ = json.Unmarshal(v.JWS, &text) // an object keeps its JSON form
	if _, err := token.NewCodec("pawl", "pawl", set).Verify(text, now); err == nil {
		return "the codec accepts it"
	}
	dot := strings.LastIndexByte(text, '.')
	valid := dot >= 0 && slices.ContainsFunc(keys, func(k *token.Key) bool {
		return k.Verifies(text[:dot], lowS(k, text[dot+1:]))
	})
	switch {
	case valid == (v.Result == "valid"):
		return checked + ": the signature"
	case elsewhere[v.Comment] != "":
		return "skipped: " + elsewhere[v.Comment]
	case valid:
		return "the signature check accepts it"
	}
	return "the signature check rejects it"
}

const (
	byForm = "the signature is valid, but the encoding before it is not: the codec rejects it (checked)"
	tooFar = "valid only for a decoder that skips characters: the signature check rejects it (checked)"
)

// elsewhere has a reason for each vector whose result depends on more than the signature.
var elsewhere = map[string]string{
	"spacesInHeader":                    byForm,
	"invalidCharactersInHeader":         byForm,
	"invalidBase64Padding":              byForm,
	"spacesInPayload":                   byForm,
	"invalidCharactersInPayload":        byForm,
	"invalidBase64PaddingInPayload":     byForm,
	"InvalidCharacterInPayload":         byForm,
	"MacOfIncorrectlyEncodedMessage":    byForm,
	"InvalidCharacterInsertedInHeader":  tooFar,
	"InvalidCharacterInsertedInPayload": tooFar,
	"rejectsValid":                      "mixed keys: allowed, because the algorithm follows from the key",
	"rejectsDuplicateKid":               "two keys with one kid: ignored, because the thumbprint is the id",
	"rejectsKeyWithRocaVulnerability":   "a weak RSA key from faulty hardware (ROCA): unchecked; Pawl makes its keys",
}

// TestWycheproofSignatures runs the vectors that consist of a key, a message and a signature.
func TestWycheproofSignatures(t *testing.T) {
	for _, name := range []string{
		"hmac_sha256", "ecdsa_secp256r1_sha256_p1363", "ed25519", "rsa_signature_2048_sha256",
		"rsa_signature_3072_sha256", "rsa_signature_4096_sha256", "rsa_signature_8192_sha256",
	} {
		n := outcomes{}
		for _, group := range readVectors(t, name) {
			for _, v := range group.Tests {
				key, err := token.ParseJWK(vectorJWK(t, group, v))
				if err != nil {
					if !rejectedSizes[group.KeySize] {
						t.Errorf("%s %d %s: %v", name, v.ID, v.Comment, err)
					}
					n[fmt.Sprintf("skipped: a key of %d bits: the key parser rejects it (checked)", group.KeySize)]++
					continue
				}
				want, outcome := v.Result == "valid", checked
				if group.TagSize != 0 && group.TagSize != 256 {
					want, outcome = false, "checked: a truncated MAC is rejected, even if it is valid for Wycheproof"
				}
				signature := base64.RawURLEncoding.EncodeToString(unhex(t, v.Sig+v.Tag))
				low := lowS(key, signature)
				if got := key.Verifies(string(unhex(t, v.Msg)), low); got != want {
					t.Errorf("%s %d %s: %v, want %v", name, v.ID, v.Comment, got, want)
				}
				if low != signature && key.Verifies(string(unhex(t, v.Msg)), signature) {
					t.Errorf("%s %d %s: accepted with the higher s", name, v.ID, v.Comment)
				}
				n[outcome]++
			}
		}
		n.log(t, name)
	}
}

// lowS returns an ES256 signature with the lower of its two values of s, the only one accepted by Pawl. It returns
// every other signature as it is.
func lowS(key *token.Key, signature string) string {
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	order := elliptic.P256().Params().N
	if key.Algorithm() != token.ES256 || err != nil || len(raw) != 64 {
		return signature
	}
	s := new(big.Int).SetBytes(raw[32:])
	if s.Cmp(order) >= 0 || s.Cmp(new(big.Int).Rsh(order, 1)) <= 0 {
		return signature
	}
	s.Sub(order, s).FillBytes(raw[32:])
	return base64.RawURLEncoding.EncodeToString(raw)
}

// rejectedSizes are the key sizes rejected by the key parser: too small for HS256, or too large for crypto/rsa.
var rejectedSizes = map[int]bool{128: true, 8192: true}

func vectorJWK(t *testing.T, group vectorGroup, v vector) []byte {
	t.Helper()
	var material any = unhex(t, v.Key)
	if group.PublicKeyDer != "" {
		var err error
		if material, err = x509.ParsePKIXPublicKey(unhex(t, group.PublicKeyDer)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := jose.JSONWebKey{Key: material}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
