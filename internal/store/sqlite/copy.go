package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// BeginCopy marks the store as the target of a copy. If an earlier copy was interrupted, the store has the mark
// already, and BeginCopy first empties it.
func (s *Store) BeginCopy(ctx context.Context) error {
	return s.write(ctx, normal, func(c *change) error {
		users, err := count(c.conn, "user")
		if err != nil {
			return err
		}
		marks, err := count(c.conn, "copying")
		if err != nil {
			return err
		}
		if users > 0 && marks == 0 {
			return storecopy.ErrNotEmpty
		}
		if err := c.deleteAPIKeys("true"); err != nil {
			return err
		}
		if err := c.deleteSessions("true"); err != nil {
			return err
		}
		c.purged, err = queryAll(c.conn, "DELETE FROM session_purge RETURNING user_id", nil, scanNumber)
		if err != nil {
			return err
		}
		c.deletedUsers = true
		statements := []string{
			"DELETE FROM signing_key",
			"DELETE FROM user",
			"DELETE FROM used_assertion",
			"DELETE FROM receiver",
			"INSERT OR IGNORE INTO copying VALUES (1)",
		}
		for _, statement := range statements {
			if err := execute(c.conn, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// EndCopy removes the mark.
func (s *Store) EndCopy(ctx context.Context) error {
	return s.write(ctx, normal, func(c *change) error { return execute(c.conn, "DELETE FROM copying") })
}

// CopyInProgress reports whether the store has the mark.
func (s *Store) CopyInProgress(ctx context.Context) (bool, error) {
	marks, err := read(ctx, s, func(conn *sqlite.Conn) (int64, error) { return count(conn, "copying") })
	return marks > 0, err
}

// Count counts the rows to copy.
func (s *Store) Count(ctx context.Context) (storecopy.Counts, error) {
	return read(ctx, s, countRows)
}

func count(conn *sqlite.Conn, from string) (int64, error) {
	return queryOne(conn, "SELECT count(*) FROM "+from, nil, scanNumber)
}

// ReadUsers returns the first users with an ID greater than after.
func (s *Store) ReadUsers(ctx context.Context, after int64, limit int) ([]authority.UserWithHash, error) {
	sql := selectUsersWithHash + " WHERE id > ? ORDER BY id LIMIT ?"
	return list(ctx, s, sql, args{after, int64(limit)}, scanUserWithHash)
}

// ReadSessions returns the first sessions with an ID greater than after. No session may end during a copy, because the
// copy stops after the first page with fewer sessions than limit.
func (s *Store) ReadSessions(
	ctx context.Context, after token.SessionID, limit int,
) ([]authority.SessionWithOrigin, error) {
	sql := selectSessions + " WHERE id > ? AND " + liveSession + " AND " + ofLiveActor + " ORDER BY id LIMIT ?"
	return s.listSessions(ctx, sql, args{after[:], int64(limit)})
}

// ReadAPIKeys returns the first API keys with an ID greater than after.
func (s *Store) ReadAPIKeys(ctx context.Context, after int64, limit int) ([]storecopy.APIKeyRecord, error) {
	sql := "SELECT " + apiKeyColumns + ", hash FROM api_key WHERE id > ? AND " + liveAPIKey + " ORDER BY id LIMIT ?"
	return list(ctx, s, sql, args{after, int64(limit)}, func(stmt *sqlite.Stmt) storecopy.APIKeyRecord {
		record := storecopy.APIKeyRecord{APIKey: scanAPIKey(stmt)}
		stmt.ColumnBytes(11, record.Hash[:])
		return record
	})
}

// ReadAssertions returns the first used assertions with an ID greater than after.
func (s *Store) ReadAssertions(
	ctx context.Context, after storecopy.AssertionID, limit int,
) ([]authority.UsedAssertion, error) {
	const sql = "SELECT id, expires FROM used_assertion WHERE id > ? ORDER BY id LIMIT ?"
	return list(ctx, s, sql, args{after[:], int64(limit)}, func(stmt *sqlite.Stmt) authority.UsedAssertion {
		a := authority.UsedAssertion{Expires: stmt.ColumnInt64(1)}
		stmt.ColumnBytes(0, a.ID[:])
		return a
	})
}

// insertAll runs an INSERT for each row.
func insertAll[T any](c *change, sql string, rows []T, values func(*T) args) error {
	for i := range rows {
		if err := execute(c.conn, sql, values(&rows[i])...); err != nil {
			return err
		}
	}
	return nil
}

// WriteUsers adds users without changing any field.
func (s *Store) WriteUsers(ctx context.Context, users []authority.UserWithHash) error {
	return s.write(ctx, normal, func(c *change) error { return insertAll(c, insertUser, users, userValues) })
}

// insertSession adds a session of epoch 0, because the users of a copy begin with that epoch.
const insertSession = "INSERT INTO session (id, user_id, created, ip, user_agent, device) VALUES (?, ?, ?, ?, ?, ?)"

// sessionValues returns the values of insertSession.
func sessionValues(r *authority.SessionWithOrigin) args {
	return args{r.ID[:], r.UserID, r.Created, r.IP, r.UserAgent, r.Device}
}

// WriteSessions adds sessions without changing any field.
func (s *Store) WriteSessions(ctx context.Context, sessions []authority.SessionWithOrigin) error {
	return s.write(ctx, normal, func(c *change) error {
		if err := insertAll(c, insertSession, sessions, sessionValues); err != nil {
			return err
		}
		for i := range sessions {
			if err := c.addSession(&sessions[i].Session, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// WriteAPIKeys adds API keys without changing any field.
func (s *Store) WriteAPIKeys(ctx context.Context, keys []storecopy.APIKeyRecord) error {
	return s.write(ctx, normal, func(c *change) error {
		sql := "INSERT INTO api_key (" + apiKeyColumns + ", hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
		return insertAll(c, sql, keys, func(k *storecopy.APIKeyRecord) args {
			return args{
				k.ID, k.UserID, int64(k.Visibility), k.Primary, nullableSession(k.Session), k.Mask, k.Created,
				int64(k.Scope), int64(k.MaxLevel), k.Name, k.Expires, k.Hash[:],
			}
		})
	})
}

// WriteAssertions adds used assertions without changing any field.
func (s *Store) WriteAssertions(ctx context.Context, assertions []authority.UsedAssertion) error {
	return s.write(ctx, normal, func(c *change) error {
		return insertAll(c, insertAssertion, assertions, func(a *authority.UsedAssertion) args {
			return args{a.ID[:], a.Expires}
		})
	})
}
