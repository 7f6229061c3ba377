package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	apiKeyColumns = "id, user_id, visibility, is_primary, session_id, mask, created, scope, max_level, name, expires"
	selectAPIKeys = "SELECT " + apiKeyColumns + " FROM api_key"
)

func scanAPIKey(stmt *sqlite.Stmt) authority.APIKey {
	k := authority.APIKey{
		ID:         stmt.ColumnInt64(0),
		UserID:     stmt.ColumnInt64(1),
		Visibility: authority.Visibility(stmt.ColumnInt64(2)),
		Primary:    stmt.ColumnBool(3),
		Mask:       stmt.ColumnText(5),
		Created:    stmt.ColumnInt64(6),
		Scope:      authority.Scope(stmt.ColumnInt64(7)),
		MaxLevel:   authority.Level(stmt.ColumnInt64(8)),
		Name:       stmt.ColumnText(9),
		Expires:    stmt.ColumnInt64(10),
	}
	stmt.ColumnBytes(4, k.Session[:])
	return k
}

func scanAPIKeyHash(stmt *sqlite.Stmt) authority.APIKeyHash {
	var hash authority.APIKeyHash
	stmt.ColumnBytes(0, hash[:])
	return hash
}

// CreateAPIKey adds an API key. A primary one replaces the user's previous primary key.
func (s *Store) CreateAPIKey(
	ctx context.Context, r authority.Rights, k authority.APIKey, hash authority.APIKeyHash,
) (authority.APIKey, error) {
	return txAs(ctx, s, r, normal, func(c *change) (authority.APIKey, error) {
		if k.Primary {
			if err := c.deleteAPIKeys("user_id = ? AND is_primary", k.UserID); err != nil {
				return authority.APIKey{}, err
			}
		}
		return queryOne(c.conn, `INSERT INTO api_key (user_id, hash, visibility, is_primary, session_id, mask, created,
				scope, max_level, name, expires)
			SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?9, ?10, ?11, ?12 FROM user WHERE id = ?1 AND status <> ?8
			AND (?5 IS NULL OR EXISTS (SELECT 1 FROM session WHERE session.id = ?5 AND `+liveSession+`))
			RETURNING `+apiKeyColumns,
			args{
				k.UserID, hash[:], int64(k.Visibility), k.Primary, nullableSession(k.Session), k.Mask, k.Created,
				int64(authority.Terminated), int64(k.Scope), int64(k.MaxLevel), k.Name, k.Expires,
			}, scanAPIKey)
	})
}

// nullableSession returns a session ID, or NULL for the zero ID.
func nullableSession(id token.SessionID) any {
	if id == (token.SessionID{}) {
		return nil
	}
	return id[:]
}

// APIKeyByHash returns an API key and its user, usually from the caches.
func (s *Store) APIKeyByHash(
	ctx context.Context, hash authority.APIKeyHash,
) (authority.APIKey, *authority.User, error) {
	key, err := s.apiKeys.get(hash, func() (authority.APIKey, error) {
		return find(ctx, s, selectAPIKeys+" WHERE hash = ?", args{hash[:]}, scanAPIKey)
	})
	if err != nil {
		return authority.APIKey{}, nil, err
	}
	if key.Session != (token.SessionID{}) {
		if _, exists := s.sessions.Get(key.Session); !exists {
			return authority.APIKey{}, nil, fault.ErrNotFound
		}
	}
	user, err := s.User(ctx, key.UserID)
	return key, user, err
}

// Credentials returns a session and an API key, usually from memory.
func (s *Store) Credentials(
	ctx context.Context, id token.SessionID, hash authority.APIKeyHash,
) (c authority.Credentials) {
	if c.APIKey, c.Owner, c.APIKeyErr = s.APIKeyByHash(ctx, hash); c.APIKeyErr == nil {
		c.Session, c.SessionErr = s.RecentSession(ctx, id)
	}
	return c
}

// APIKey returns an API key.
func (s *Store) APIKey(ctx context.Context, id int64) (authority.APIKey, error) {
	return find(ctx, s, selectAPIKeys+" WHERE id = ? AND "+liveAPIKey, args{id}, scanAPIKey)
}

// APIKeys lists the API keys of a user.
func (s *Store) APIKeys(ctx context.Context, userID int64) ([]authority.APIKey, error) {
	return list(ctx, s, selectAPIKeys+" WHERE user_id = ? AND "+liveAPIKey+" ORDER BY id", args{userID}, scanAPIKey)
}

// DeleteAPIKey removes an API key.
func (s *Store) DeleteAPIKey(ctx context.Context, r authority.Rights, id int64) error {
	return s.writeAs(ctx, r, urgent, func(c *change) error {
		if err := c.deleteAPIKeys("id = ? AND "+liveAPIKey, id); err != nil {
			return err
		}
		if len(c.deletedAPIKeys) == 0 {
			return fault.ErrNotFound
		}
		return nil
	})
}

// SweepAPIKeys removes expired API keys.
func (s *Store) SweepAPIKeys(ctx context.Context, now int64, limit int) (int, error) {
	return tx(ctx, s, normal, func(c *change) (int, error) {
		err := c.deleteAPIKeys(
			"id IN (SELECT id FROM api_key WHERE expires > 0 AND expires <= ? LIMIT ?)", now, int64(limit))
		return len(c.deletedAPIKeys), err
	})
}
