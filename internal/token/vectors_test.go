package token_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/go-jose/go-jose/v4"

	"github.com/pawlauth/pawl/internal/token"
)

// vectors is a file of Wycheproof, as far as it is read here.
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

// tally counts what became of the vectors of one file, by reason.
type tally map[string]int

func (n tally) log(t *testing.T, name string) {
	t.Helper()
	for _, reason := range slices.Sorted(maps.Keys(n)) {
		t.Logf("%s: %4d %s", name, n[reason], reason)
	}
}

const checked = "checked"

// notOurs are keys of Wycheproof that are good, but not for us, by what their alg says.
var notOurs = []string{"RS384", "RS512", "PS256", "PS384", "PS512", "ES521", "HS384", "HS512", "A256GCM", "A256KW", "ECDH-ES+A128KW"}

// TestWycheproofJWS runs the vectors whose key is a JSON Web Key and whose text
// is a JWS. Their headers are not ours, so the codec must refuse all of them;
// of each the signature is checked with the key that our parser makes.
func TestWycheproofJWS(t *testing.T) {
	for _, name := range []string{"json_web_signature", "json_web_key", "json_web_crypto"} {
		n := tally{}
		for _, group := range readVectors(t, name) {
			text := group.Public
			if text == nil {
				text = group.Private
			}
			keys, err := token.ParseJWKSet(text)
			for _, v := range group.Tests {
				reason := checkJWS(v, keys, err, algOf(text))
				if !strings.HasPrefix(reason, checked) && !strings.HasPrefix(reason, "skipped: ") {
					t.Errorf("%s %s %d %s (%s): %s", name, group.Comment, v.ID, v.Comment, v.Result, reason)
				}
				n[reason]++
			}
		}
		n.log(t, name)
	}
}

// algOf is what the first key says that it is for.
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

// checkJWS says what became of a vector; what begins neither with checked nor
// with skipped is a fault.
func checkJWS(v vector, keys []*token.Key, parseErr error, alg string) string {
	if parseErr != nil {
		switch {
		case slices.Contains(notOurs, alg):
			return fmt.Sprintf("skipped: alg %s is not ours: the key parser refuses it (checked)", alg)
		case v.Result == "invalid":
			return checked + ": the key parser refuses the key"
		}
		return "the key parser refuses a good key: " + parseErr.Error()
	}
	set, err := token.NewKeySet(keys...)
	if err != nil {
		return err.Error()
	}
	text := string(v.JWS)
	_ = json.Unmarshal(v.JWS, &text) // an object stays as it is
	if _, err := token.NewCodec("pawl", "pawl", set).Verify(text, now); err == nil {
		return "the codec takes it"
	}
	dot := strings.LastIndexByte(text, '.')
	good := dot >= 0 && slices.ContainsFunc(keys, func(k *token.Key) bool { return k.Verifies(text[:dot], text[dot+1:]) })
	switch {
	case good == (v.Result == "valid"):
		return checked + ": the signature"
	case elsewhere[v.Comment] != "":
		return "skipped: " + elsewhere[v.Comment]
	case good:
		return "the signature check takes it"
	}
	return "the signature check refuses it"
}

const (
	byForm = "the signature is right, the encoding before it is not: the codec refuses it (checked)"
	tooFar = "called valid by what a lenient decoder drops: the signature check refuses it (checked)"
)

// elsewhere has the vectors in which something other than the signature decides.
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
	"rejectsValid":                      "a set of symmetric and other keys: ours may be mixed, for the algorithm follows from the key",
	"rejectsDuplicateKid":               "two keys of one kid: a kid in the file is not read, it is the thumbprint",
	"rejectsKeyWithRocaVulnerability":   "a weak RSA key that some hardware made (ROCA): not looked for; Pawl makes its own keys",
}

// TestWycheproofSignatures runs the vectors of bare signatures on the signature check.
func TestWycheproofSignatures(t *testing.T) {
	for _, name := range []string{"hmac_sha256", "ecdsa_secp256r1_sha256_p1363", "ed25519",
		"rsa_signature_2048_sha256", "rsa_signature_3072_sha256", "rsa_signature_4096_sha256", "rsa_signature_8192_sha256"} {
		n := tally{}
		for _, group := range readVectors(t, name) {
			for _, v := range group.Tests {
				key, err := token.ParseJWK(vectorJWK(t, group, v))
				if err != nil {
					if !refusedSizes[group.KeySize] {
						t.Errorf("%s %d %s: %v", name, v.ID, v.Comment, err)
					}
					n[fmt.Sprintf("skipped: a key of %d bits: the key parser refuses it (checked)", group.KeySize)]++
					continue
				}
				want, reason := v.Result == "valid", checked
				if group.TagSize != 0 && group.TagSize != 256 {
					want, reason = false, "checked: a truncated MAC is refused, whatever Wycheproof says of it"
				}
				signature := base64.RawURLEncoding.EncodeToString(unhex(t, v.Sig+v.Tag))
				if got := key.Verifies(string(unhex(t, v.Msg)), signature); got != want {
					t.Errorf("%s %d %s: %v, want %v", name, v.ID, v.Comment, got, want)
				}
				n[reason]++
			}
		}
		n.log(t, name)
	}
}

// refusedSizes are too small for HS256, and too large for what reads our keys.
var refusedSizes = map[int]bool{128: true, 8192: true}

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
