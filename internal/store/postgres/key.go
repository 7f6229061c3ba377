package postgres

import (
	"cmp"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// CreateAPIKey adds a key; a primary one replaces the user's earlier one. The
// user's row is locked, so that keys of one user are made one after another,
// and none after the user is terminated.
func (s *Store) CreateAPIKey(ctx context.Context, k authority.APIKey, hash authority.APIKeyHash) (made authority.APIKey, err error) {
	err = s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := changeOne(tx.Exec(ctx, "SELECT 1 FROM pawl.users WHERE id = $1 AND status <> $2 FOR NO KEY UPDATE", k.UserID, int64(authority.Terminated)))
		if err != nil {
			return err
		}
		if k.Primary {
			if _, err := tx.Exec(ctx, "DELETE FROM pawl.api_key WHERE user_id = $1 AND is_primary", k.UserID); err != nil {
				return err
			}
		}
		made, err = scanKey(tx.QueryRow(ctx, `INSERT INTO pawl.api_key AS k (user_id, hash, visibility, is_primary, session_id, mask, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING `+keyColumns,
			k.UserID, hash[:], int64(k.Visibility), k.Primary, sessionOrNull(k.Session), k.Mask, k.Created))
		return err
	})
	if err != nil {
		return authority.APIKey{}, err
	}
	return made, nil
}

func sessionOrNull(id token.SessionID) *[16]byte {
	if id == (token.SessionID{}) {
		return nil
	}
	return (*[16]byte)(&id)
}

// APIKeyByHash returns a key and its user, as they are now.
func (s *Store) APIKeyByHash(ctx context.Context, hash authority.APIKeyHash) (authority.APIKey, *authority.User, error) {
	found, err := look(ctx, s.keys, hash)
	return found.key, found.user, err
}

// APIKey returns a key.
func (s *Store) APIKey(ctx context.Context, id int64) (k authority.APIKey, err error) {
	err = s.queryOne(ctx, "SELECT "+keyColumns+" FROM pawl.api_key k WHERE k.id = $1", []any{id}, func(row pgx.Rows) error {
		k, err = scanKey(row)
		return err
	})
	return k, err
}

// APIKeys lists the keys of a user.
func (s *Store) APIKeys(ctx context.Context, userID int64) (keys []authority.APIKey, err error) {
	err = s.query(ctx, "SELECT "+keyColumns+" FROM pawl.api_key k WHERE k.user_id = $1 ORDER BY k.id", []any{userID}, func(rows pgx.Rows) error {
		k, err := scanKey(rows)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

// DeleteAPIKey removes a key.
func (s *Store) DeleteAPIKey(ctx context.Context, id int64) error {
	err := changeOne(s.exec(ctx, "DELETE FROM pawl.api_key WHERE id = $1", id))
	if errors.Is(err, fault.ErrNotFound) {
		err = cmp.Or(s.confirm(ctx), err)
	}
	return err
}
