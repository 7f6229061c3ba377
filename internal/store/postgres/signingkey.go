package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
)

const signingKeyColumns = "id, jwk, published_at, signs_from, retired_at"

// SigningKeys returns the signing keys, the newest first.
func (s *Store) SigningKeys(ctx context.Context) ([]keyring.SigningKey, error) {
	scan := func(row pgx.CollectableRow) (k keyring.SigningKey, err error) {
		err = row.Scan(&k.ID, &k.JWK, &k.PublishedAt, &k.SignsFrom, &k.RetiredAt)
		return k, err
	}
	return query(ctx, s, scan, "SELECT "+signingKeyColumns+" FROM pawl.signing_key ORDER BY rank DESC")
}

// AddSigningKey adds a signing key as the newest one.
func (s *Store) AddSigningKey(
	ctx context.Context, r authority.Rights, k keyring.SigningKey, first bool,
) error {
	const sql = "INSERT INTO pawl.signing_key (" + signingKeyColumns + `) SELECT $1, $2, $4, $5, $6
		WHERE NOT $3 OR NOT EXISTS (SELECT 1 FROM pawl.signing_key) ON CONFLICT (id) DO NOTHING`
	_, err := s.changeSigningKeys(ctx, r, sql, k.ID, k.JWK, first, k.PublishedAt, k.SignsFrom, k.RetiredAt)
	return err
}

// SealSigningKeys replaces the JWKs of keys.
func (s *Store) SealSigningKeys(ctx context.Context, keys []keyring.Sealing) error {
	_, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (none, error) {
		if _, err := tx.Exec(ctx, "SELECT 1 FROM pawl.state FOR UPDATE"); err != nil {
			return none{}, err
		}
		for _, k := range keys {
			const sql = "UPDATE pawl.signing_key SET jwk = $3 WHERE id = $1 AND jwk = $2"
			if err := requireRow(tx.Exec(ctx, sql, k.ID, k.Plaintext, k.Sealed)); err != nil {
				return none{}, err
			}
		}
		return none{}, nil
	})
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	return err
}

// RetireSigningKey retires a signing key other than the last one.
func (s *Store) RetireSigningKey(ctx context.Context, r authority.Rights, id string, at int64) error {
	const sql = `UPDATE pawl.signing_key SET retired_at = $2, jwk = '' WHERE id = $1 AND retired_at = 0
		AND EXISTS (SELECT 1 FROM pawl.signing_key WHERE id <> $1 AND retired_at = 0)`
	return requireRow(s.changeSigningKeys(ctx, r, sql, id, at))
}

// changeSigningKeys runs a statement while it holds the lock of the one row of state, so that the changes of all nodes
// happen one after the other. If several nodes start at once, one of them creates the first signing key. If two nodes
// each retire one of the last two signing keys, one key remains.
func (s *Store) changeSigningKeys(
	ctx context.Context, r authority.Rights, sql string, args ...any,
) (pgconn.CommandTag, error) {
	return withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (pgconn.CommandTag, error) {
		if tag, err := tx.Exec(ctx, "SELECT 1 FROM pawl.state FOR UPDATE"); err != nil {
			return tag, err
		}
		return tx.Exec(ctx, sql, args...)
	})
}
