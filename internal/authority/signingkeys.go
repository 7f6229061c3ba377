package authority

import (
	"context"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
)

// Keyring has the signing keys. A *keyring.Keyring reads them from a store, and a *keyring.Static from a file.
type Keyring interface {
	// Set returns the set of keys. The signing key is its first, and the others only verify. The set is live: it
	// changes when the keys do.
	Set() *token.KeySet
	// EnsureCurrent returns nil if the keys are current, and reads the store first if they may not be. The error is
	// fault.ErrUnavailable.
	EnsureCurrent(ctx context.Context) error
	// ReloadFor reads the store for a token verified by none of the keys. It reports whether a retry may succeed. The
	// error is fault.ErrUnavailable.
	ReloadFor(ctx context.Context, text string) (retry bool, err error)
	// MaxAge returns how long a verifier may cache the public keys.
	MaxAge() time.Duration
	// List returns all keys, newest first.
	List(ctx context.Context) ([]keyring.Info, error)
	// Rotate publishes a new key. The key signs after the lead time. Rotate writes to store with the caller's rights.
	Rotate(ctx context.Context, store keyring.Store) (keyring.Info, error)
	// Retire retires a key, so that its tokens are rejected. If some of its tokens have not expired, force is required.
	// If the key is the signing key, Retire first creates a successor. It returns the successor even if retiring the
	// key then fails.
	Retire(ctx context.Context, store keyring.Store, id string, force bool) (successor keyring.Info, err error)
}

// SigningKeys returns the signing keys, newest first. It requires Root.
func (a *Authority) SigningKeys(ctx context.Context, c Caller) ([]keyring.Info, error) {
	if c.User.Level != Root {
		return nil, errLevel
	}
	infos, err := a.keys.List(ctx)
	return infos, fault.FromStore(err, nil)
}

// RotateSigningKey publishes a new key. The key signs after the lead time. RotateSigningKey requires Root.
func (a *Authority) RotateSigningKey(ctx context.Context, c Caller) (keyring.Info, error) {
	info, err := asCaller(ctx, a, c, func(c Caller) (keyring.Info, error) {
		if c.User.Level != Root {
			return keyring.Info{}, errLevel
		}
		return a.keys.Rotate(ctx, SigningKeysAs(c.rightsOn(nil), a.store))
	})
	return info, a.recordIfDone(ctx, fault.FromStore(err, nil), c.event(signingKeyCreated(info)))
}

func signingKeyCreated(k keyring.Info) audit.Event {
	detail := "key " + k.ID + ", signs from " + keyring.FormatTime(k.SignsFrom)
	return audit.Event{Kind: audit.SigningKeyCreated, Detail: detail}
}

// RetireSigningKey retires a key, so that its tokens are rejected. If some of its tokens have not expired, now must be
// true; use it for a leaked key. If the retired key is the signing key, a new key replaces it at once. RetireSigningKey
// requires Root.
func (a *Authority) RetireSigningKey(ctx context.Context, c Caller, id string, now bool) error {
	successor, err := asCaller(ctx, a, c, func(c Caller) (keyring.Info, error) {
		if c.User.Level != Root {
			return keyring.Info{}, errLevel
		}
		if id == "" {
			return keyring.Info{}, fault.Invalid("keyId is missing; list the keys with /v2/signing-keys/list.")
		}
		return a.keys.Retire(ctx, SigningKeysAs(c.rightsOn(nil), a.store), id, now)
	})
	if successor.ID != "" { // it exists even if the other key could not be retired
		a.audit.Record(ctx, c.event(signingKeyCreated(successor)))
	}
	detail := "key " + id
	if now {
		detail += ", before its tokens expired"
	}
	event := c.event(audit.Event{Kind: audit.SigningKeyRetired, Detail: detail})
	return a.recordIfDone(ctx, fault.FromStore(err, nil), event)
}

// PublicKeys returns the public keys for verifiers, and how long they may cache them. Keys of HS256 have no public
// part. If the store is unreachable, PublicKeys returns the node's present keys.
func (a *Authority) PublicKeys(ctx context.Context) (keys []*token.Key, maxAge time.Duration) {
	_ = a.keys.EnsureCurrent(ctx)
	keys = []*token.Key{}
	for _, key := range a.keys.Set().Keys() {
		if public := key.Public(); public != nil {
			keys = append(keys, public)
		}
	}
	return keys, a.keys.MaxAge()
}
