package keyring

import "testing"

// TestReplacedAt checks that a key is replaced when the first key after it signs.
func TestReplacedAt(t *testing.T) {
	key := func(signsFrom, retiredAt int64) nodeKey {
		return nodeKey{SigningKey: SigningKey{SignsFrom: signsFrom, RetiredAt: retiredAt}}
	}
	tests := []struct {
		name string
		keys []nodeKey // newest first
		want []int64
	}{
		{name: "one after another", keys: []nodeKey{key(30, 0), key(20, 0), key(10, 0)}, want: []int64{0, 30, 20}},
		{name: "two nodes at once", keys: []nodeKey{key(20, 0), key(20, 0), key(10, 0)}, want: []int64{0, 20, 20}},
		{name: "retired before it signed", keys: []nodeKey{key(20, 15), key(10, 0)}, want: []int64{0, 0}},
		{name: "retired after it signed", keys: []nodeKey{key(20, 25), key(10, 0)}, want: []int64{0, 20}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, want := range test.want {
				if got := replacedAt(test.keys, i); got != want {
					t.Errorf("key %d is replaced at %d, want %d", i, got, want)
				}
			}
		})
	}
}
