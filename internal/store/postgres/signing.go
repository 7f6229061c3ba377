package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/keyring"
)

// SigningKeys returns the signing keys, the newest first.
func (s *Store) SigningKeys(ctx context.Context) (keys []keyring.SigningKey, err error) {
	err = s.query(ctx, "SELECT id, jwk, published, signs, retired FROM pawl.signing_key ORDER BY rank DESC", nil, func(rows pgx.Rows) error {
		var k keyring.SigningKey
		err := rows.Scan(&k.ID, &k.JWK, &k.PublishedAt, &k.SignsFrom, &k.RetiredAt)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

// AddSigningKey adds a key, as the newest.
func (s *Store) AddSigningKey(ctx context.Context, k keyring.SigningKey, first bool) error {
	return s.changeSigningKeys(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO pawl.signing_key (id, jwk, published, signs, retired) SELECT $1, $2, $4, $5, $6
			WHERE NOT $3 OR NOT EXISTS (SELECT 1 FROM pawl.signing_key) ON CONFLICT (id) DO NOTHING`,
			k.ID, k.JWK, first, k.PublishedAt, k.SignsFrom, k.RetiredAt)
		return err
	})
}

// RetireSigningKey forgets a key that is not the last.
func (s *Store) RetireSigningKey(ctx context.Context, id string, at int64) error {
	return s.changeSigningKeys(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return changeOne(tx.Exec(ctx, `UPDATE pawl.signing_key SET retired = $2, jwk = '' WHERE id = $1 AND retired = 0
			AND EXISTS (SELECT 1 FROM pawl.signing_key WHERE id <> $1 AND retired = 0)`, id, at))
	})
}

// changeSigningKeys locks the one row of state, so that the nodes' changes come
// one after another: of nodes that start at once one makes the first key, and
// two that each retire one of the last two leave one.
func (s *Store) changeSigningKeys(ctx context.Context, change func(context.Context, pgx.Tx) error) error {
	return s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT 1 FROM pawl.state FOR UPDATE"); err != nil {
			return err
		}
		return change(ctx, tx)
	})
}
