package token

import (
	"errors"
	"strings"
	"sync/atomic"
)

// KeySet is the keys of one issuer: the first signs, all verify. It can be
// replaced while it is in use.
type KeySet struct {
	keys atomic.Pointer[[]*Key] // never empty; the slice is not changed once stored
}

// NewKeySet returns a set of keys of which the first signs.
func NewKeySet(keys ...*Key) (*KeySet, error) {
	s := new(KeySet)
	return s, s.Replace(keys...)
}

// Replace puts other keys in the place of those that the set has.
func (s *KeySet) Replace(keys ...*Key) error {
	if len(keys) == 0 {
		return errors.New("token: a key set needs a key")
	}
	keys = append([]*Key(nil), keys...)
	s.keys.Store(&keys)
	return nil
}

// Keys returns the keys, the signing one first. The slice is not to be changed.
func (s *KeySet) Keys() []*Key { return *s.keys.Load() }

func (s *KeySet) signing() *Key { return s.Keys()[0] }

// verify returns the length of the header with its dot if a key of the set
// signed the text, and 0 if none did.
func (s *KeySet) verify(signed, signature string) int {
	scratch := buffers.Get().(*[]byte)
	defer buffers.Put(scratch)
	text := append(append((*scratch)[:0], signed...), signature...)
	*scratch = text
	for _, key := range s.Keys() {
		if strings.HasPrefix(signed, key.header) && key.verifies(text[:len(signed)], text[len(signed):]) {
			return len(key.header)
		}
	}
	return 0
}

// HasKeyOf reports whether the token's header names a key of the set. The header
// of HS256 names none.
func (s *KeySet) HasKeyOf(token string) bool {
	for _, key := range s.Keys() {
		if key.alg != HS256 && strings.HasPrefix(token, key.header) {
			return true
		}
	}
	return false
}
