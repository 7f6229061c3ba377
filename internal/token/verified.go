package token

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
)

const (
	verifiedShards = 64
	verifiedSets   = 512 // of each shard
	verifiedWays   = 4   // elements of each set
)

// verifiedTokens caches which tokens have a valid signature, by the SHA-256 of their whole text, so that a key pair
// verifies a token once instead of at each call. It holds up to 131,072 tokens in 4 MiB, and a new token replaces
// another one of its set.
//
// The cache never accepts a token by itself. A KeySet consults it only for a token with the header of one of its keys,
// a Codec parses the claims and checks the expiry again each time, and the store decides about the session. A token of
// HS256 is not cached, because checking its signature costs no more than the hash (BenchmarkVerify).
type verifiedTokens struct {
	shards [verifiedShards]verifiedShard
}

type verifiedShard struct {
	mu   sync.Mutex                             // guards the fields below
	sets *[verifiedSets][verifiedWays]tokenHash // nil before the first add
	next uint8                                  // the element of a set that the next add replaces
}

type tokenHash [sha256.Size]byte

// position returns the shard of a hash, and the index of its set in that shard.
func (v *verifiedTokens) position(h *tokenHash) (*verifiedShard, int) {
	return &v.shards[h[0]%verifiedShards], int(binary.LittleEndian.Uint16(h[1:])) % verifiedSets
}

func (v *verifiedTokens) has(h *tokenHash) bool {
	shard, set := v.position(h)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return shard.sets != nil && slices.Contains(shard.sets[set][:], *h)
}

func (v *verifiedTokens) add(h *tokenHash) {
	shard, set := v.position(h)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.sets == nil {
		shard.sets = new([verifiedSets][verifiedWays]tokenHash)
	}
	shard.sets[set][shard.next%verifiedWays] = *h
	shard.next++
}
