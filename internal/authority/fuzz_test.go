package authority

import (
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzParseAPIKey parses any text as an API key. An API key must have only one accepted spelling, and a new API key
// with one changed character must be rejected.
func FuzzParseAPIKey(f *testing.F) {
	key, _ := newAPIKey()
	for _, seed := range []string{
		key, "", apiKeyPrefix, key + "=", key[:len(key)-1], strings.ToUpper(key), key[:20] + "\n" + key[20:], " " + key,
	} {
		f.Add(seed, 7, byte('x'))
	}
	f.Fuzz(func(t *testing.T, text string, at int, with byte) {
		if _, ok := parseAPIKey(text); ok {
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, apiKeyPrefix))
			if err != nil || apiKeyPrefix+base64.RawURLEncoding.EncodeToString(raw) != text {
				t.Errorf("%q was accepted, which is a second way to write its key", text)
			}
		}
		fresh, hash := newAPIKey()
		if got, ok := parseAPIKey(fresh); !ok || got != hash {
			t.Fatalf("the new key %q was rejected", fresh)
		}
		at = int(uint(at) % uint(len(fresh)))
		changed := fresh[:at] + string([]byte{with}) + fresh[at+1:]
		if _, ok := parseAPIKey(changed); ok && changed != fresh {
			t.Errorf("%q was accepted, which has a changed character at %d", changed, at)
		}
		mask := maskAPIKey(fresh)
		if strings.Contains(mask, fresh[len(apiKeyPrefix)+4:]) || len(mask) != len(apiKeyPrefix)+12 {
			t.Errorf("the mask %q shows the key", mask)
		}
	})
}
