package client

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pawlauth/pawl/internal/revocation"
)

// verifiedTokens caches tokens that were found valid, by their hash. It is a fixed number of sets with four slots each,
// so that a lookup takes no lock and the memory is bounded.
type verifiedTokens struct {
	sets []tokenSet
}

type tokenSet [4]atomic.Pointer[verifiedToken]

// verifiedToken is an immutable entry.
type verifiedToken struct {
	hash   tokenHash
	caller VerifiedToken
	token  revocation.Token
	// keys is the generation of the JWK set that verified the signature. It has no meaning if byPawl is set.
	keys uint64
	// byPawl marks a token that only Pawl can judge: its signature is HS256, or its iat is later than the server's
	// clock.
	byPawl bool
}

type tokenHash [sha256.Size]byte

// hashOf returns the hash of a token without a copy of it.
func hashOf(text string) tokenHash {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
}

func newVerifiedTokens(size int) *verifiedTokens {
	return &verifiedTokens{sets: make([]tokenSet, (size+3)/4)}
}

func (c *verifiedTokens) setOf(hash *tokenHash) *tokenSet {
	return &c.sets[binary.LittleEndian.Uint64(hash[:])%uint64(len(c.sets))]
}

// get returns the entry of a token, or nil.
func (c *verifiedTokens) get(hash *tokenHash) *verifiedToken {
	set := c.setOf(hash)
	for i := range set {
		if e := set[i].Load(); e != nil && e.hash == *hash {
			return e
		}
	}
	return nil
}

// put adds or replaces an entry. If its set is full, put evicts an expired token, or else an arbitrary one. Two calls
// at once may lose an entry, which costs a verification.
func (c *verifiedTokens) put(e *verifiedToken, now time.Time) {
	set := c.setOf(&e.hash)
	slot := int(e.hash[8]) % len(set)
	for i := range set {
		old := set[i].Load()
		if old == nil || old.hash == e.hash {
			slot = i
			break
		}
		if old.token.Expires <= now.Unix() {
			slot = i
		}
	}
	set[slot].Store(e)
}
