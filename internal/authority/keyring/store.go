package keyring

import "context"

// SigningKey is a stored signing key: a JSON Web Key, sealed if there is a master key (see Seal). The points in time
// are Unix seconds.
type SigningKey struct {
	ID          string // the key's thumbprint
	JWK         string // "" once the key is retired
	PublishedAt int64  // from when verifiers can have the key
	SignsFrom   int64  // from when the key signs
	RetiredAt   int64  // from when tokens of the key are rejected; 0 if it is not retired
}

// Store keeps the signing keys. Each method is one atomic step, and durable when it returns nil. fault.ErrUnavailable
// means that the store is unreachable or cannot write.
type Store interface {
	// SigningKeys returns all keys, newest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddSigningKey adds a key. It does nothing if a key with its ID exists or, if first is true, if any key exists.
	// If many nodes start at the same time on an empty store, only one of them therefore adds a key.
	AddSigningKey(ctx context.Context, k SigningKey, first bool) error
	// SealSigningKeys replaces the JWKs of keys. If one of the keys no longer has the plaintext, it changes nothing: if
	// many nodes start at the same time, only one of them seals the keys.
	SealSigningKeys(ctx context.Context, keys []Sealing) error
	// RetireSigningKey sets RetiredAt and removes the JWK. It returns fault.ErrNotFound if there is no such key, it is
	// retired already, or it is the only one that is not retired.
	RetireSigningKey(ctx context.Context, id string, at int64) error
}

// Sealing is the replacement of a plaintext JWK by a sealed one.
type Sealing struct{ ID, Plaintext, Sealed string }
