package sqlite

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
)

// SigningKeys returns the signing keys, the newest first.
func (s *Store) SigningKeys(ctx context.Context) ([]keyring.SigningKey, error) {
	return list(ctx, s, "SELECT id, jwk, published, signs, retired FROM signing_key ORDER BY rank DESC", nil,
		func(stmt *sqlite.Stmt) keyring.SigningKey {
			return keyring.SigningKey{
				ID:          stmt.ColumnText(0),
				JWK:         stmt.ColumnText(1),
				PublishedAt: stmt.ColumnInt64(2),
				SignsFrom:   stmt.ColumnInt64(3),
				RetiredAt:   stmt.ColumnInt64(4),
			}
		})
}

// AddSigningKey adds a signing key as the newest.
func (s *Store) AddSigningKey(
	ctx context.Context, r authority.Rights, k keyring.SigningKey, first bool,
) error {
	return s.writeAs(ctx, r, normal, func(c *change) error {
		return execute(c.conn, `INSERT INTO signing_key (id, jwk, published, signs, retired) SELECT ?1, ?2, ?3, ?4, ?5
			WHERE NOT ?6 OR NOT EXISTS (SELECT 1 FROM signing_key) ON CONFLICT (id) DO NOTHING`,
			k.ID, k.JWK, k.PublishedAt, k.SignsFrom, k.RetiredAt, first)
	})
}

// SealSigningKeys replaces the JWKs of keys. secure_delete overwrites the plaintext in the file.
func (s *Store) SealSigningKeys(ctx context.Context, keys []keyring.Sealing) error {
	err := s.write(ctx, normal, func(c *change) error {
		// A pragma takes effect when it is prepared, so it cannot be one of the cached statements.
		if err := sqlitex.ExecuteTransient(c.conn, "PRAGMA secure_delete = ON", nil); err != nil {
			return err
		}
		defer func() { _ = sqlitex.ExecuteTransient(c.conn, "PRAGMA secure_delete = OFF", nil) }()
		for _, k := range keys {
			const sql = "UPDATE signing_key SET jwk = ?3 WHERE id = ?1 AND jwk = ?2"
			if err := executeOne(c.conn, sql, k.ID, k.Plaintext, k.Sealed); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	return err
}

// RetireSigningKey retires a signing key, unless it is the last one.
func (s *Store) RetireSigningKey(ctx context.Context, r authority.Rights, id string, at int64) error {
	return s.writeAs(ctx, r, urgent, func(c *change) error {
		return executeOne(c.conn, `UPDATE signing_key SET retired = ?2, jwk = '' WHERE id = ?1 AND retired = 0
			AND EXISTS (SELECT 1 FROM signing_key WHERE id <> ?1 AND retired = 0)`, id, at)
	})
}
