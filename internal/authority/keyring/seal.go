package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// The errors of Open that an operator resolves with the master key.
var (
	ErrMasterKeyMissing = errors.New("the signing keys in the store are encrypted, and no master key was given: " +
		"set --master-key-file or PAWL_MASTER_KEY to the master key that they were encrypted with")
	ErrMasterKeyWrong = errors.New("the signing keys in the store were encrypted with another master key: " +
		"set --master-key-file or PAWL_MASTER_KEY to that one")
)

// newSigningKey generates a key.
func newSigningKey(alg token.Algorithm, box *seal.Box, publishedAt, signsFrom int64) (nodeKey, error) {
	key, err := token.GenerateKey(alg)
	if err != nil {
		return nodeKey{}, err
	}
	jwk, err := key.MarshalJWK()
	if err != nil {
		return nodeKey{}, err
	}
	stored := SigningKey{ID: key.ID(), JWK: string(jwk), PublishedAt: publishedAt, SignsFrom: signsFrom}
	return nodeKey{SigningKey: Seal(stored, box), key: key}, nil
}

// Seal returns the key with its JWK sealed. If box is nil, or the key is retired or sealed already, Seal returns it
// unchanged.
func Seal(k SigningKey, box *seal.Box) SigningKey {
	if box != nil && k.RetiredAt == 0 && !seal.Sealed(k.JWK) {
		k.JWK = box.Seal(k.ID, k.JWK)
	}
	return k
}

// Unseal returns the key with its JWK in plaintext. The error is ErrMasterKeyMissing if the key is sealed and box is
// nil, or ErrMasterKeyWrong.
func Unseal(k SigningKey, box *seal.Box) (SigningKey, error) {
	if !seal.Sealed(k.JWK) {
		return k, nil
	}
	if box == nil {
		return k, ErrMasterKeyMissing
	}
	jwk, err := box.Open(k.ID, k.JWK)
	if err != nil {
		return k, ErrMasterKeyWrong
	}
	k.JWK = jwk
	return k, nil
}

// sealAll seals the keys of a store without a sealed key, and returns their ids. It runs at a start, and does nothing
// without a master key. It first checks that each key is the one of its id.
func sealAll(ctx context.Context, store Store, box *seal.Box) (ids []string, err error) {
	if box == nil {
		return nil, nil
	}
	stored, err := store.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	if err := RequireUniform(stored); err != nil {
		return nil, err
	}
	var sealings []Sealing
	for _, k := range stored {
		sealed := Seal(k, box)
		if sealed == k {
			continue
		}
		if _, err := parseSigningKey(k, nil); err != nil {
			return nil, err
		}
		sealings = append(sealings, Sealing{ID: k.ID, Plaintext: k.JWK, Sealed: sealed.JWK})
		ids = append(ids, k.ID)
	}
	if len(sealings) == 0 {
		return nil, nil
	}
	return ids, store.SealSigningKeys(ctx, sealings)
}

// RequireUniform returns an error if a key is in plaintext although another one is sealed. Someone who can write to the
// database, but does not have the master key, may have added it.
func RequireUniform(keys []SigningKey) error {
	var sealed, plain string
	for _, k := range keys {
		switch {
		case k.RetiredAt != 0:
		case seal.Sealed(k.JWK):
			sealed = k.ID
		default:
			plain = k.ID
		}
	}
	if sealed != "" && plain != "" {
		return errPlaintext(plain)
	}
	return nil
}

func errPlaintext(id string) error {
	return fmt.Errorf("the signing key %q in the store is not encrypted with the master key, although others are: "+
		"find out who added it, and delete its row of signing_key, which ends its tokens", id)
}

// parseSigningKey returns the key of a stored one. With a box, the key must be sealed.
func parseSigningKey(k SigningKey, box *seal.Box) (*token.Key, error) {
	if box != nil && !seal.Sealed(k.JWK) {
		return nil, errPlaintext(k.ID)
	}
	k, err := Unseal(k, box)
	if err != nil {
		return nil, err
	}
	key, err := token.ParseJWK([]byte(k.JWK))
	if err != nil {
		return nil, fmt.Errorf("a signing key in the store is damaged: %w; restore the store from a backup", err)
	}
	if key.ID() != k.ID {
		return nil, fmt.Errorf("the signing key %q in the store is not the key of that id: "+
			"find out who changed the store, and restore it from a backup", k.ID)
	}
	return key, nil
}
