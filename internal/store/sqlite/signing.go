package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/keyring"
)

// SigningKeys returns the signing keys, the newest first.
func (s *Store) SigningKeys(ctx context.Context) (keys []keyring.SigningKey, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT id, jwk, published, signs, retired FROM signing_key ORDER BY rank DESC")
		return each(stmt, func() {
			keys = append(keys, keyring.SigningKey{ID: stmt.ColumnText(0), JWK: stmt.ColumnText(1),
				PublishedAt: stmt.ColumnInt64(2), SignsFrom: stmt.ColumnInt64(3), RetiredAt: stmt.ColumnInt64(4)})
		})
	})
	return keys, err
}

// AddSigningKey adds a key, as the newest.
func (s *Store) AddSigningKey(ctx context.Context, k keyring.SigningKey, first bool) error {
	return s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		stmt := conn.Prep(`INSERT INTO signing_key (id, jwk, published, signs, retired) SELECT ?1, ?2, ?4, ?5, ?6
			WHERE NOT ?3 OR NOT EXISTS (SELECT 1 FROM signing_key) ON CONFLICT (id) DO NOTHING`)
		bind(stmt, k.ID, k.JWK, truth(first), k.PublishedAt, k.SignsFrom, k.RetiredAt)
		return each(stmt, func() {})
	}, nil)
}

// RetireSigningKey forgets a key that is not the last.
func (s *Store) RetireSigningKey(ctx context.Context, id string, at int64) error {
	return s.end(ctx, func(conn *sqlite.Conn, _ *removed) error {
		stmt := conn.Prep(`UPDATE signing_key SET retired = ?2, jwk = '' WHERE id = ?1 AND retired = 0
			AND EXISTS (SELECT 1 FROM signing_key WHERE id <> ?1 AND retired = 0)`)
		bind(stmt, id, at)
		return changeOne(conn, stmt)
	}, nil)
}
