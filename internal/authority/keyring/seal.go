package keyring

import (
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// The errors of Open that an operator resolves with the master key.
var (
	ErrMasterKeyMissing = errors.New("the signing keys in the store are sealed, and no master key was given: " +
		"set --master-key-file or PAWL_MASTER_KEY to the master key that they were sealed with")
	ErrMasterKeyWrong = errors.New("the signing keys in the store were sealed with another master key: " +
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

// parseSigningKey returns the key of a stored one.
func parseSigningKey(k SigningKey, box *seal.Box) (*token.Key, error) {
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
