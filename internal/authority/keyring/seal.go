package keyring

import (
	"errors"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// The errors of OpenKeyring that an operator mends with the master key.
var (
	ErrMasterKeyMissing = errors.New("the signing keys in the store are sealed, and there is no master key: give the one that they were sealed with, as --master-key-file or PAWL_MASTER_KEY")
	ErrMasterKeyWrong   = errors.New("the master key is not the one that the signing keys in the store were sealed with: give that one, as --master-key-file or PAWL_MASTER_KEY")
)

// newSigningKey makes a key that is published now and signs from then on.
func newSigningKey(alg token.Algorithm, box *seal.Box, now, signs int64) (nodeKey, error) {
	key, err := token.GenerateKey(alg)
	if err != nil {
		return nodeKey{}, err
	}
	jwk, err := key.MarshalJWK()
	return nodeKey{Seal(SigningKey{ID: key.ID(), JWK: string(jwk), PublishedAt: now, SignsFrom: signs}, box), key}, err
}

// Seal seals a key that is in clear; with a nil box it stays so, and
// of a retired one there is nothing to seal.
func Seal(k SigningKey, box *seal.Box) SigningKey {
	if box != nil && k.RetiredAt == 0 && !seal.Sealed(k.JWK) {
		k.JWK = box.Seal(k.ID, k.JWK)
	}
	return k
}

// Unseal gives the key in clear. The error is ErrMasterKeyMissing for
// a nil box and a sealed key, or ErrMasterKeyWrong.
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
