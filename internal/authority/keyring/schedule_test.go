package keyring

import "testing"

// TestReplaced: a key is replaced when the first that goes before it signs. Of
// keys from before times were kept only the newest has a time: not before that
// is it sure that the others sign no more.
func TestReplaced(t *testing.T) {
	key := func(signs, retired int64) nodeKey {
		return nodeKey{SigningKey: SigningKey{SignsFrom: signs, RetiredAt: retired}}
	}
	for name, test := range map[string]struct {
		keys []nodeKey // newest first
		want []int64
	}{
		"one after another":      {[]nodeKey{key(30, 0), key(20, 0), key(10, 0)}, []int64{0, 30, 20}},
		"two nodes at once":      {[]nodeKey{key(20, 0), key(20, 0), key(10, 0)}, []int64{0, 20, 20}},
		"given up":               {[]nodeKey{key(20, 15), key(10, 0)}, []int64{0, 0}},
		"retired when it signed": {[]nodeKey{key(20, 25), key(10, 0)}, []int64{0, 20}},
		"from before times":      {[]nodeKey{key(99, 0), key(0, 0), key(0, 0)}, []int64{0, 99, 99}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, want := range test.want {
				if got := replaced(test.keys, i); got != want {
					t.Errorf("key %d is replaced at %d, want %d", i, got, want)
				}
			}
		})
	}
}
