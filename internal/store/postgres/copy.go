package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// BeginCopy marks the store, and empties it if it was marked before.
func (s *Store) BeginCopy(ctx context.Context) error {
	return s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var marked, used bool
		err := tx.QueryRow(ctx, "SELECT copying, EXISTS (SELECT 1 FROM pawl.users) FROM pawl.state FOR UPDATE").Scan(&marked, &used)
		switch {
		case err != nil:
			return err
		case used && !marked:
			return storecopy.ErrNotEmpty
		}
		_, err = tx.Exec(ctx, "TRUNCATE pawl.users, pawl.session, pawl.api_key, pawl.signing_key RESTART IDENTITY")
		if err == nil {
			_, err = tx.Exec(ctx, "UPDATE pawl.state SET copying = true")
		}
		return err
	})
}

// EndCopy moves the sequences past the ids that were copied, and takes the
// mark away.
func (s *Store) EndCopy(ctx context.Context) error {
	return s.held(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for _, table := range []string{"users", "api_key"} {
			if _, err := conn.Exec(ctx, "SELECT setval('pawl."+table+"_id_seq', max(id)) FROM pawl."+table+" HAVING max(id) IS NOT NULL"); err != nil {
				return err
			}
		}
		_, err := conn.Exec(ctx, "UPDATE pawl.state SET copying = false")
		return err
	})
}

// CopyInProgress reports whether the mark is there.
func (s *Store) CopyInProgress(ctx context.Context) (marked bool, err error) {
	err = s.queryOne(ctx, "SELECT copying FROM pawl.state", nil, func(row pgx.Rows) error { return row.Scan(&marked) })
	return marked, err
}

// Count counts what there is; that takes as long as it takes.
func (s *Store) Count(ctx context.Context) (n storecopy.Counts, err error) {
	err = s.held(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pawl.users), (SELECT count(*) FROM pawl.session),
			(SELECT count(*) FROM pawl.api_key), (SELECT count(*) FROM pawl.signing_key)`).Scan(&n.Users, &n.Sessions, &n.APIKeys, &n.SigningKeys)
	})
	return n, err
}

// ReadUsers returns the next users by id.
func (s *Store) ReadUsers(ctx context.Context, after int64, limit int) (users []authority.UserWithHash, err error) {
	err = s.query(ctx, "SELECT "+userColumns+", u.password_hash FROM pawl.users u WHERE u.id > $1 ORDER BY u.id LIMIT $2", []any{after, limit},
		func(rows pgx.Rows) error {
			var hash string
			u, err := scanUser(rows, &hash)
			users = append(users, authority.UserWithHash{User: *u, PasswordHash: hash})
			return err
		})
	return users, err
}

// ReadSessions returns the next sessions by id.
func (s *Store) ReadSessions(ctx context.Context, after token.SessionID, limit int) (sessions []authority.SessionWithOrigin, err error) {
	err = s.query(ctx, "SELECT "+sessionColumns+", s.ip, s.user_agent FROM pawl.session s WHERE s.id > $1 ORDER BY s.id LIMIT $2",
		[]any{[16]byte(after), limit}, func(rows pgx.Rows) error {
			r, err := scanRecord(rows)
			sessions = append(sessions, r)
			return err
		})
	return sessions, err
}

// ReadAPIKeys returns the next keys by id.
func (s *Store) ReadAPIKeys(ctx context.Context, after int64, limit int) (keys []storecopy.APIKeyRecord, err error) {
	err = s.query(ctx, "SELECT "+keyColumns+", k.hash FROM pawl.api_key k WHERE k.id > $1 ORDER BY k.id LIMIT $2", []any{after, limit},
		func(rows pgx.Rows) error {
			var hash []byte
			k, err := scanKey(rows, &hash)
			if err == nil {
				keys = append(keys, storecopy.APIKeyRecord{APIKey: k, Hash: authority.APIKeyHash(hash)})
			}
			return err
		})
	return keys, err
}

// copyIn adds rows in one step, which takes as long as it takes.
func (s *Store) copyIn(ctx context.Context, table, columns string, n int, row func(i int) []any) error {
	return s.held(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"pawl", table}, strings.Fields(columns),
			pgx.CopyFromSlice(n, func(i int) ([]any, error) { return row(i), nil }))
		return err
	})
}

// WriteUsers adds users as they are.
func (s *Store) WriteUsers(ctx context.Context, users []authority.UserWithHash) error {
	return s.copyIn(ctx, "users", "id login login_folded password_hash email first_name last_name network_id mailbox_id level status created",
		len(users), func(i int) []any {
			u := &users[i]
			return []any{u.ID, u.Login, strings.ToLower(u.Login), u.PasswordHash, u.Email, u.FirstName, u.LastName, u.NetworkID, u.MailboxID,
				int64(u.Level), int64(u.Status), u.Created}
		})
}

// WriteSessions adds sessions as they are.
func (s *Store) WriteSessions(ctx context.Context, sessions []authority.SessionWithOrigin) error {
	return s.copyIn(ctx, "session", "id user_id generation created refreshed previous expires ends attempt idempotency_key ip user_agent",
		len(sessions), func(i int) []any {
			r := &sessions[i]
			return []any{[16]byte(r.ID), r.UserID, int64(r.Generation), r.Created, r.Refreshed, r.Previous, r.Expires, r.Ends, int64(0),
				retryBytes(r.IdempotencyKey), r.IP, r.UserAgent}
		})
}

// WriteAPIKeys adds keys as they are.
func (s *Store) WriteAPIKeys(ctx context.Context, keys []storecopy.APIKeyRecord) error {
	return s.copyIn(ctx, "api_key", "id user_id hash visibility is_primary session_id mask created", len(keys), func(i int) []any {
		k := &keys[i]
		return []any{k.ID, k.UserID, k.Hash[:], int64(k.Visibility), k.Primary, sessionOrNull(k.Session), k.Mask, k.Created}
	})
}
