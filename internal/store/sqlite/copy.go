package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// BeginCopy marks the store, and empties it if it was marked before.
func (s *Store) BeginCopy(ctx context.Context) error {
	return s.write(ctx, func(conn *sqlite.Conn, out *removed) error {
		used, err := count(conn, "user")
		if err != nil {
			return err
		}
		marked, err := count(conn, "copying")
		if err != nil {
			return err
		}
		if used > 0 && marked == 0 {
			return storecopy.ErrNotEmpty
		}
		if err := out.deleteKeys(conn, "true"); err != nil {
			return err
		}
		if err := out.deleteSessions(conn, "true"); err != nil {
			return err
		}
		for _, statement := range []string{"DELETE FROM signing_key", "DELETE FROM user", "INSERT OR IGNORE INTO copying VALUES (1)"} {
			if err := each(conn.Prep(statement), func() {}); err != nil {
				return err
			}
		}
		return nil
	}, func() { s.memory.users.clear() })
}

// EndCopy takes the mark away.
func (s *Store) EndCopy(ctx context.Context) error {
	return s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		return each(conn.Prep("DELETE FROM copying"), func() {})
	}, nil)
}

// CopyInProgress reports whether the mark is there.
func (s *Store) CopyInProgress(ctx context.Context) (marked bool, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		n, err := count(conn, "copying")
		marked = n > 0
		return err
	})
	return marked, err
}

// Count counts what there is.
func (s *Store) Count(ctx context.Context) (n storecopy.Counts, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) (err error) {
		for table, into := range map[string]*int64{"user": &n.Users, "session": &n.Sessions, "api_key": &n.APIKeys, "signing_key": &n.SigningKeys} {
			if *into, err = count(conn, table); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func count(conn *sqlite.Conn, table string) (n int64, err error) {
	stmt := conn.Prep("SELECT count(*) FROM " + table)
	return n, one(stmt, func() { n = stmt.ColumnInt64(0) })
}

// ReadUsers returns the next users by id.
func (s *Store) ReadUsers(ctx context.Context, after int64, limit int) (users []authority.UserWithHash, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + userColumns + ", password_hash FROM user WHERE id > ? ORDER BY id LIMIT ?")
		bind(stmt, after, int64(limit))
		return each(stmt, func() {
			users = append(users, authority.UserWithHash{User: *scanUser(stmt), PasswordHash: stmt.ColumnText(10)})
		})
	})
	return users, err
}

// ReadSessions returns the next sessions by id, as they are now.
func (s *Store) ReadSessions(ctx context.Context, after token.SessionID, limit int) ([]authority.SessionWithOrigin, error) {
	return s.records(ctx, after, limit)
}

// ReadAPIKeys returns the next keys by id.
func (s *Store) ReadAPIKeys(ctx context.Context, after int64, limit int) (keys []storecopy.APIKeyRecord, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + keyColumns + ", hash FROM api_key WHERE id > ? ORDER BY id LIMIT ?")
		bind(stmt, after, int64(limit))
		return each(stmt, func() {
			record := storecopy.APIKeyRecord{APIKey: scanKey(stmt)}
			stmt.ColumnBytes(7, record.Hash[:])
			keys = append(keys, record)
		})
	})
	return keys, err
}

// copyIn runs one statement for each row, in one step.
func (s *Store) copyIn(ctx context.Context, sql string, n int, row func(i int) []any, apply func()) error {
	return s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		stmt := conn.Prep(sql)
		for i := range n {
			bind(stmt, row(i)...)
			if err := each(stmt, func() {}); err != nil {
				return err
			}
		}
		return nil
	}, apply)
}

// WriteUsers adds users as they are.
func (s *Store) WriteUsers(ctx context.Context, users []authority.UserWithHash) error {
	return s.copyIn(ctx, insertUser, len(users), func(i int) []any { return userValues(users[i].User, users[i].PasswordHash) }, nil)
}

// WriteSessions adds sessions as they are.
func (s *Store) WriteSessions(ctx context.Context, sessions []authority.SessionWithOrigin) error {
	return s.copyIn(ctx, "INSERT INTO session ("+sessionColumns+", ip, user_agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", len(sessions), func(i int) []any {
		r := &sessions[i]
		return []any{r.ID[:], r.UserID, int64(r.Generation), r.Created, r.Refreshed, r.Previous, r.Expires, r.Ends, retryBytes(r.IdempotencyKey), r.IP, r.UserAgent}
	}, func() {
		for i := range sessions {
			e := pack(sessions[i].Session)
			s.memory.put(&e)
		}
	})
}

// WriteAPIKeys adds keys as they are.
func (s *Store) WriteAPIKeys(ctx context.Context, keys []storecopy.APIKeyRecord) error {
	return s.copyIn(ctx, "INSERT INTO api_key ("+keyColumns+", hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", len(keys), func(i int) []any {
		k := &keys[i]
		return []any{k.ID, k.UserID, int64(k.Visibility), truth(k.Primary), sessionOrNull(k.Session), k.Mask, k.Created, k.Hash[:]}
	}, nil)
}
