package keyring

import "context"

// SigningKey is a key that signs tokens: a JSON Web Key, sealed where there is
// a master key (see OpenKeyring). The ID is its thumbprint. Times are Unix seconds.
type SigningKey struct {
	ID          string
	JWK         string // "" once it is retired
	PublishedAt int64  // since when nodes can know it; 0: since before times were kept
	SignsFrom   int64  // from when it signs; 0: not known, but before all that have a time
	RetiredAt   int64  // since when no token of it is good; 0: it is not retired
}

// Store keeps the keys that sign tokens.
type Store interface {
	// SigningKeys returns the keys, the newest first; none at first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddSigningKey adds a key, if its ID is not there yet, and if there is no
	// key at all or first is false: so of many nodes that start at once on an
	// empty store, one makes the key.
	AddSigningKey(ctx context.Context, k SigningKey, first bool) error
	// RetireSigningKey sets Retired and removes the JWK. It is ErrNotFound if
	// there is no such key that is not retired yet, or if there is no other.
	RetireSigningKey(ctx context.Context, id string, at int64) error
}
