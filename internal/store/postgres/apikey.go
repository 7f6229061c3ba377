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

// CreateAPIKey adds an API key. A primary one replaces the earlier primary key of the user. CreateAPIKey locks the
// user's row, so that the keys of a user are created one after the other, and none after the user is terminated.
func (s *Store) CreateAPIKey(
	ctx context.Context, r authority.Rights, k authority.APIKey, hash authority.APIKeyHash,
) (authority.APIKey, error) {
	const (
		lockUser      = "SELECT 1 FROM pawl.users WHERE id = $1 AND status <> $2 FOR NO KEY UPDATE"
		deletePrimary = "DELETE FROM pawl.api_key WHERE user_id = $1 AND is_primary"
		insert        = `INSERT INTO pawl.api_key AS k
				(user_id, hash, visibility, is_primary, session_id, mask, created, scope, max_level, name, expires,
				epoch)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING ` + apiKeyColumns
		// Without a foreign key, as on Citus, the lock keeps the session until the API key can be deleted with it.
		lockSession = "SELECT s.epoch" + fromLiveSession + " WHERE s.id = $1 FOR KEY SHARE OF s"
	)
	return withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (authority.APIKey, error) {
		if err := requireRow(tx.Exec(ctx, lockUser, k.UserID, int64(authority.Terminated))); err != nil {
			return authority.APIKey{}, err
		}
		if k.Primary {
			if _, err := tx.Exec(ctx, deletePrimary, k.UserID); err != nil {
				return authority.APIKey{}, err
			}
		}
		var epoch int32
		if session := sessionOrNull(k.Session); session != nil {
			var err error
			if epoch, err = collectOne(ctx, tx, pgx.RowTo[int32], lockSession, *session); err != nil {
				return authority.APIKey{}, err
			}
		}
		return collectOne(ctx, tx, scanAPIKey, insert,
			k.UserID, hash[:], int64(k.Visibility), k.Primary, sessionOrNull(k.Session), k.Mask, k.Created,
			int64(k.Scope), int64(k.MaxLevel), k.Name, k.Expires, epoch)
	})
}

// APIKeyByHash returns an API key and its user, as their rows are now.
func (s *Store) APIKeyByHash(
	ctx context.Context, hash authority.APIKeyHash,
) (authority.APIKey, *authority.User, error) {
	found, err := lookUp(ctx, s.apiKeys, hash)
	return found.key, found.user, err
}

// Credentials returns a session and an API key in one trip. On Citus, a statement that reads a session runs at one of
// the workers, so there each has its own trip.
func (s *Store) Credentials(
	ctx context.Context, id token.SessionID, hash authority.APIKeyHash,
) (c authority.Credentials) {
	recent, isRecent := s.recent.get(id)
	if isRecent || s.citus != nil {
		if c.APIKey, c.Owner, c.APIKeyErr = s.APIKeyByHash(ctx, hash); c.APIKeyErr != nil {
			return c
		}
		c.Session = recent
		if !isRecent {
			c.Session, c.SessionErr = s.Session(ctx, id)
		}
		return c
	}
	begun := s.recent.now()
	op := &sessionOp{}
	op.Value.key = id
	op.Value.apiKey = &lookup[authority.APIKeyHash, apiKeyWithUser]{key: hash}
	err := inBatch(ctx, s, id, (*shard).sessionBatches, op)
	var found apiKeyWithUser
	if found, c.APIKeyErr = op.Value.apiKey.result(err); c.APIKeyErr != nil {
		return c
	}
	c.APIKey, c.Owner = found.key, found.user
	if c.Session, c.SessionErr = op.Value.result(err); c.SessionErr == nil {
		s.recent.put(c.Session, begun)
	}
	return c
}

// APIKey returns an API key.
func (s *Store) APIKey(ctx context.Context, id int64) (authority.APIKey, error) {
	return queryOne(ctx, s, scanAPIKey, "SELECT "+apiKeyColumns+fromLiveAPIKey+" AND k.id = $1", id)
}

// APIKeys lists the API keys of a user.
func (s *Store) APIKeys(ctx context.Context, userID int64) ([]authority.APIKey, error) {
	return query(ctx, s, scanAPIKey,
		"SELECT "+apiKeyColumns+fromLiveAPIKey+" AND k.user_id = $1 ORDER BY k.id", userID)
}

// DeleteAPIKey removes an API key.
func (s *Store) DeleteAPIKey(ctx context.Context, r authority.Rights, id int64) error {
	const sql = "DELETE FROM pawl.api_key WHERE id = (SELECT k.id" + fromLiveAPIKey + " AND k.id = $1)"
	_, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (none, error) {
		return none{}, requireRow(tx.Exec(ctx, sql, id))
	})
	if errors.Is(err, fault.ErrNotFound) {
		return cmp.Or(s.confirm(ctx), err)
	}
	return err
}

// SweepAPIKeys removes expired API keys. It leaves those locked by another transaction to the next sweep.
func (s *Store) SweepAPIKeys(ctx context.Context, now int64, limit int) (int, error) {
	const sql = `DELETE FROM pawl.api_key WHERE id IN (SELECT id FROM pawl.api_key
		WHERE expires > 0 AND expires <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`
	tag, err := s.exec(ctx, sql, now, limit)
	return int(tag.RowsAffected()), err
}
