package authority

import (
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzParseKey reads any text as an API key: what is taken is the one way to
// write it, and a key in which one character is another is never taken.
func FuzzParseKey(f *testing.F) {
	key, _ := newKey()
	for _, seed := range []string{key, "", keyPrefix, key + "=", key[:len(key)-1], strings.ToUpper(key), key[:20] + "\n" + key[20:], " " + key} {
		f.Add(seed, 7, byte('x'))
	}
	f.Fuzz(func(t *testing.T, text string, at int, with byte) {
		if _, ok := parseKey(text); ok {
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, keyPrefix))
			if err != nil || keyPrefix+base64.RawURLEncoding.EncodeToString(raw) != text {
				t.Errorf("takes %q, a second way to write a key", text)
			}
		}
		fresh, hash := newKey()
		if got, ok := parseKey(fresh); !ok || got != hash {
			t.Fatalf("a new key is refused: %q", fresh)
		}
		at = int(uint(at) % uint(len(fresh)))
		changed := fresh[:at] + string([]byte{with}) + fresh[at+1:]
		if _, ok := parseKey(changed); ok && changed != fresh {
			t.Errorf("takes a damaged key: %q, position %d", changed, at)
		}
		if mask := maskKey(fresh); strings.Contains(mask, fresh[len(keyPrefix)+4:]) || len(mask) != len(keyPrefix)+12 {
			t.Errorf("the mask %q shows the key", mask)
		}
	})
}
