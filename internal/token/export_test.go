package token

import "crypto/sha256"

// Verifies exports the bare signature check for the published test vectors, because a Codec rejects their headers and
// payloads.
func (k *Key) Verifies(signed, signature string) bool {
	return k.verifies([]byte(signed), []byte(signature))
}

// VerifiedTokens exports the number of tokens that the cache holds, and how many it can hold.
func (s *KeySet) VerifiedTokens() (count, capacity int) {
	cache := s.current.Load().verified
	if cache == nil {
		return 0, 0
	}
	for i := range cache.shards {
		if cache.shards[i].sets == nil {
			continue
		}
		for _, set := range cache.shards[i].sets {
			for _, h := range set {
				if h != (tokenHash{}) {
					count++
				}
			}
		}
	}
	return count, verifiedShards * verifiedSets * verifiedWays
}

// Remember exports what Sign does with a new token, for texts that need no signature.
func (s *KeySet) Remember(text string) { s.current.Load().remember([]byte(text)) }

// Remembers reports whether the cache has a text.
func (s *KeySet) Remembers(text string) bool {
	hash := tokenHash(sha256.Sum256([]byte(text)))
	return s.current.Load().verified.has(&hash)
}
