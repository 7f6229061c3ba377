package token

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
)

// KeySet holds the keys of one issuer: the first key signs, all keys verify. It is safe for concurrent use.
type KeySet struct {
	current atomic.Pointer[keysAndCache]
}

// keysAndCache is the content of a KeySet between two calls of Replace. A token is verified, and cached, with one
// content only, so that a call that began before Replace adds nothing to a later cache.
type keysAndCache struct {
	keys     []*Key          // never empty, never modified
	verified *verifiedTokens // nil if every key is of HS256
}

// NewKeySet returns a set of keys whose first key signs.
func NewKeySet(keys ...*Key) (*KeySet, error) {
	s := new(KeySet)
	return s, s.Replace(keys...)
}

// Replace replaces all keys of the set. If a key was removed, Replace also empties the cache of verified tokens.
func (s *KeySet) Replace(keys ...*Key) error {
	if len(keys) == 0 {
		return errors.New("token: a key set needs at least one key")
	}
	next := &keysAndCache{keys: slices.Clone(keys)}
	for {
		previous := s.current.Load()
		next.verified = nil
		switch {
		case !slices.ContainsFunc(keys, (*Key).cached):
		case previous != nil && previous.verified != nil && containsAll(keys, previous.keys):
			next.verified = previous.verified
		default:
			next.verified = new(verifiedTokens)
		}
		if s.current.CompareAndSwap(previous, next) {
			return nil
		}
	}
}

func containsAll(keys, wanted []*Key) bool {
	return !slices.ContainsFunc(wanted, func(k *Key) bool { return !slices.Contains(keys, k) })
}

// Keys returns the keys, the signing key first. The caller must not modify the slice.
func (s *KeySet) Keys() []*Key { return s.current.Load().keys }

// verify returns the length of the token's header with its dot if a key of the set made the signature, otherwise 0. The
// signature follows the dot at lastDot.
func (s *KeySet) verify(token string, lastDot int) int {
	scratch := buffers.Get().(*[]byte)
	defer buffers.Put(scratch)
	text := append((*scratch)[:0], token...)
	*scratch = text
	content := s.current.Load()
	for _, key := range content.keys {
		if strings.HasPrefix(token[:lastDot], key.header) && content.verifies(key, text, lastDot) {
			return len(key.header)
		}
	}
	return 0
}

// verifies reports whether a key of the set made the signature of a token with the key's header.
func (c *keysAndCache) verifies(key *Key, token []byte, lastDot int) bool {
	if !key.cached() {
		return key.verifies(token[:lastDot], token[lastDot+1:])
	}
	// The hash covers the last dot too: "a.bc." and "a.b.c" are different tokens.
	hash := tokenHash(sha256.Sum256(token))
	if c.verified.has(&hash) {
		return true
	}
	if !key.verifies(token[:lastDot], token[lastDot+1:]) {
		return false
	}
	c.verified.add(&hash)
	return true
}

// remember caches a token just signed by the first key of the set.
func (c *keysAndCache) remember(token []byte) {
	if c.keys[0].cached() {
		hash := tokenHash(sha256.Sum256(token))
		c.verified.add(&hash)
	}
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
