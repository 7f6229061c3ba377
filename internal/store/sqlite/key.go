package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

const keyColumns = "id, user_id, visibility, is_primary, session_id, mask, created"

func scanKey(stmt *sqlite.Stmt) authority.APIKey {
	k := authority.APIKey{ID: stmt.ColumnInt64(0), UserID: stmt.ColumnInt64(1), Visibility: authority.Visibility(stmt.ColumnInt64(2)),
		Primary: stmt.ColumnBool(3), Mask: stmt.ColumnText(5), Created: stmt.ColumnInt64(6)}
	stmt.ColumnBytes(4, k.Session[:])
	return k
}

// CreateAPIKey adds a key; a primary one replaces the user's earlier one.
func (s *Store) CreateAPIKey(ctx context.Context, k authority.APIKey, hash authority.APIKeyHash) (authority.APIKey, error) {
	var made authority.APIKey
	err := s.write(ctx, func(conn *sqlite.Conn, out *removed) error {
		if k.Primary {
			if err := out.deleteKeys(conn, "user_id = ? AND is_primary", k.UserID); err != nil {
				return err
			}
		}
		stmt := conn.Prep(`INSERT INTO api_key (user_id, hash, visibility, is_primary, session_id, mask, created)
			SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM user WHERE id = ?1 AND status <> ?8 AND (?5 IS NULL OR EXISTS (SELECT 1 FROM session WHERE id = ?5))
			RETURNING ` + keyColumns)
		bind(stmt, k.UserID, hash[:], int64(k.Visibility), truth(k.Primary), sessionOrNull(k.Session), k.Mask, k.Created, int64(authority.Terminated))
		return one(stmt, func() { made = scanKey(stmt) })
	}, nil)
	if err != nil {
		return authority.APIKey{}, err // and made may still be written to
	}
	return made, nil
}

func sessionOrNull(id token.SessionID) any {
	if id == (token.SessionID{}) {
		return nil
	}
	return id[:]
}

// APIKeyByHash returns a key and its user, from memory once it has been seen.
func (s *Store) APIKeyByHash(ctx context.Context, hash authority.APIKeyHash) (authority.APIKey, *authority.User, error) {
	key, err := s.memory.keys.get(hash, func() (authority.APIKey, error) { return s.selectKey(ctx, "hash = ?", hash[:]) })
	if err != nil {
		return authority.APIKey{}, nil, err
	}
	user, err := s.User(ctx, key.UserID)
	return key, user, err
}

// APIKey returns a key.
func (s *Store) APIKey(ctx context.Context, id int64) (authority.APIKey, error) {
	return s.selectKey(ctx, "id = ?", id)
}

func (s *Store) selectKey(ctx context.Context, where string, arg any) (k authority.APIKey, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + keyColumns + " FROM api_key WHERE " + where)
		bind(stmt, arg)
		return one(stmt, func() { k = scanKey(stmt) })
	})
	return k, err
}

// APIKeys lists the keys of a user.
func (s *Store) APIKeys(ctx context.Context, userID int64) (keys []authority.APIKey, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + keyColumns + " FROM api_key WHERE user_id = ? ORDER BY id")
		bind(stmt, userID)
		return each(stmt, func() { keys = append(keys, scanKey(stmt)) })
	})
	return keys, err
}

// DeleteAPIKey removes a key.
func (s *Store) DeleteAPIKey(ctx context.Context, id int64) error {
	return s.end(ctx, func(conn *sqlite.Conn, out *removed) error {
		if err := out.deleteKeys(conn, "id = ?", id); err != nil {
			return err
		}
		if len(out.keys) == 0 {
			return fault.ErrNotFound
		}
		return nil
	}, nil)
}
