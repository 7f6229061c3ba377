package authority

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/token"
)

// The errors of LoadKeys that an operator mends with the master key.
var (
	ErrMasterKeyMissing = errors.New("the signing keys in the store are sealed, and there is no master key: give the one that they were sealed with, as --master-key-file or PAWL_MASTER_KEY")
	ErrMasterKeyWrong   = errors.New("the master key is not the one that the signing keys in the store were sealed with: give that one, as --master-key-file or PAWL_MASTER_KEY")
)

// LoadKeys returns the signing keys of the store, and makes one of that
// algorithm if there is none, or if the one that signs has another algorithm.
// A key that it makes is sealed if there is a box; a nil box keeps it in clear.
func LoadKeys(ctx context.Context, store SigningKeyStore, alg token.Algorithm, box *seal.Box) ([]*token.Key, error) {
	for try := 0; ; try++ {
		keys, err := parseKeys(ctx, store, box)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 && keys[0].Algorithm() == alg {
			return keys, nil
		}
		if try > 0 {
			return nil, fmt.Errorf("the signing key is %s, not %s: another node uses another algorithm", keys[0].Algorithm(), alg)
		}
		key, err := token.GenerateKey(alg)
		if err != nil {
			return nil, err
		}
		if err := addKey(ctx, store, key, box, len(keys) == 0); err != nil {
			return nil, err
		}
	}
}

func addKey(ctx context.Context, store SigningKeyStore, key *token.Key, box *seal.Box, first bool) error {
	jwk, err := key.MarshalJWK()
	if err != nil {
		return err
	}
	return store.AddSigningKey(ctx, SealSigningKey(SigningKey{ID: key.ID(), JWK: string(jwk)}, box), first)
}

// SealSigningKey seals a key that is in clear; with a nil box it stays so.
func SealSigningKey(k SigningKey, box *seal.Box) SigningKey {
	if box != nil && !seal.Sealed(k.JWK) {
		k.JWK = box.Seal(k.ID, k.JWK)
	}
	return k
}

// OpenSigningKey gives the key in clear. The error is ErrMasterKeyMissing for
// a nil box and a sealed key, or ErrMasterKeyWrong.
func OpenSigningKey(k SigningKey, box *seal.Box) (SigningKey, error) {
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
	return SigningKey{k.ID, jwk}, nil
}

func parseKeys(ctx context.Context, store SigningKeyStore, box *seal.Box) ([]*token.Key, error) {
	kept, err := store.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	var keys []*token.Key
	for _, k := range kept {
		if k, err = OpenSigningKey(k, box); err != nil {
			return nil, err
		}
		key, err := token.ParseJWK([]byte(k.JWK))
		if err != nil {
			return nil, fmt.Errorf("a signing key in the store is damaged: %w; restore the store from a backup", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
