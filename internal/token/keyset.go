package token

import (
	"errors"
	"strings"
	"sync/atomic"
)

// KeySet holds the keys of one issuer: the first key signs, all keys verify. It is safe for concurrent use.
type KeySet struct {
	keys atomic.Pointer[[]*Key] // never empty; a stored slice is never modified
}

// NewKeySet returns a set of keys whose first key signs.
func NewKeySet(keys ...*Key) (*KeySet, error) {
	s := new(KeySet)
	return s, s.Replace(keys...)
}

// Replace replaces all keys of the set.
func (s *KeySet) Replace(keys ...*Key) error {
	if len(keys) == 0 {
		return errors.New("token: a key set needs at least one key")
	}
	keys = append([]*Key(nil), keys...)
	s.keys.Store(&keys)
	return nil
}

// Keys returns the keys, the signing key first. The caller must not modify the slice.
func (s *KeySet) Keys() []*Key { return *s.keys.Load() }

// verify returns the length of the token's header with its dot if a key of the set made the signature, otherwise 0.
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

// HasKeyOf reports whether the set has the key named by a token's header. It returns false for a token of HS256,
// because the header of HS256 names no key.
func (s *KeySet) HasKeyOf(token string) bool {
	for _, key := range s.Keys() {
		if key.alg != HS256 && strings.HasPrefix(token, key.header) {
			return true
		}
	}
	return false
}
