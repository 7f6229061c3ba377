package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/prepare"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// BeginCopy marks the store as the target of a copy. It empties an already marked store.
func (s *Store) BeginCopy(ctx context.Context) error {
	const (
		readState = "SELECT copying, EXISTS (SELECT 1 FROM pawl.users) FROM pawl.state FOR UPDATE"
		empty     = "TRUNCATE pawl.users, pawl.session, pawl.session_purge, pawl.api_key, pawl.signing_key, " +
			"pawl.used_assertion, pawl.receiver"
		// Not RESTART IDENTITY, which CockroachDB does not have.
		restart = `SELECT setval('pawl.users_id_seq', 1, false), setval('pawl.api_key_id_seq', 1, false),
			setval('pawl.signing_key_rank_seq', 1, false), setval('pawl.receiver_rank_seq', 1, false)`
		mark = "UPDATE pawl.state SET copying = true"
	)
	_, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (none, error) {
		var copying, used bool
		if err := tx.QueryRow(ctx, readState).Scan(&copying, &used); err != nil {
			return none{}, err
		}
		if used && !copying {
			return none{}, storecopy.ErrNotEmpty
		}
		for _, sql := range []string{empty, restart, mark} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return none{}, err
			}
		}
		return none{}, nil
	})
	return err
}

// EndCopy moves the sequences past the copied ids, and removes the mark.
func (s *Store) EndCopy(ctx context.Context) error {
	_, err := withCopyConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) (none, error) {
		for _, table := range []string{"users", "api_key"} {
			_, err := conn.Exec(ctx, "SELECT setval('pawl."+table+"_id_seq', max(id)) FROM pawl."+table+
				" HAVING max(id) IS NOT NULL")
			if err != nil {
				return none{}, err
			}
		}
		_, err := conn.Exec(ctx, "UPDATE pawl.state SET copying = false")
		return none{}, err
	})
	return err
}

// CopyInProgress reports whether the store is marked as the target of a copy.
func (s *Store) CopyInProgress(ctx context.Context) (bool, error) {
	return queryOne(ctx, s, pgx.RowTo[bool], "SELECT copying FROM pawl.state")
}

const countRows = "SELECT (SELECT count(*) FROM pawl.users), " +
	"(SELECT count(*)" + fromLiveSession + " WHERE " + ofLiveActor + "), " +
	"(SELECT count(*)" + fromLiveAPIKey + "), (SELECT count(*) FROM pawl.signing_key), " +
	"(SELECT count(*) FROM pawl.used_assertion)"

// scanCounts reads the row of countRows.
func scanCounts(row pgx.Row) (n storecopy.Counts, err error) {
	err = row.Scan(&n.Users, &n.Sessions, &n.APIKeys, &n.SigningKeys, &n.Assertions)
	return n, err
}

// Count counts what a copy reads, without a time limit.
func (s *Store) Count(ctx context.Context) (storecopy.Counts, error) {
	return withCopyConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) (storecopy.Counts, error) {
		return scanCounts(conn.QueryRow(ctx, countRows))
	})
}

// ReadUsers returns the next users in the order of their ids.
func (s *Store) ReadUsers(ctx context.Context, after int64, limit int) ([]authority.UserWithHash, error) {
	return query(ctx, s, scanUserWithHash,
		"SELECT "+userWithHashColumns+" FROM pawl.users u WHERE u.id > $1 ORDER BY u.id LIMIT $2", after, limit)
}

// ReadSessions returns the next live sessions in the order of their ids. It has no time limit, because there may
// be any number of ended sessions in between.
func (s *Store) ReadSessions(
	ctx context.Context, after token.SessionID, limit int,
) ([]authority.SessionWithOrigin, error) {
	const sql = "SELECT " + sessionWithOriginColumns + fromLiveSession + " WHERE s.id > $1 AND " + ofLiveActor +
		" ORDER BY s.id LIMIT $2"
	return withCopyConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]authority.SessionWithOrigin, error) {
		return collect(ctx, conn, scanSessionWithOrigin, sql, [16]byte(after), limit)
	})
}

// ReadAPIKeys returns the next API keys in the order of their ids.
func (s *Store) ReadAPIKeys(ctx context.Context, after int64, limit int) ([]storecopy.APIKeyRecord, error) {
	scan := func(row pgx.CollectableRow) (storecopy.APIKeyRecord, error) { return scanAPIKeyRecord(row) }
	return query(ctx, s, scan,
		"SELECT "+apiKeyColumns+fromLiveAPIKey+" AND k.id > $1 ORDER BY k.id LIMIT $2", after, limit)
}

// ReadAssertions returns the next used assertions in the order of their ids.
func (s *Store) ReadAssertions(
	ctx context.Context, after storecopy.AssertionID, limit int,
) ([]authority.UsedAssertion, error) {
	const sql = "SELECT id, expires FROM pawl.used_assertion WHERE id > $1 ORDER BY id LIMIT $2"
	return query(ctx, s, func(row pgx.CollectableRow) (a authority.UsedAssertion, err error) {
		var id []byte
		err = row.Scan(&id, &a.Expires)
		copy(a.ID[:], id)
		return a, err
	}, sql, after[:], limit)
}

// WriteUsers adds users as they are.
func (s *Store) WriteUsers(ctx context.Context, users []authority.UserWithHash) error {
	const columns = "id login login_folded external_id password_hash email first_name last_name network_id " +
		"mailbox_id level status created"
	return s.copyFrom(ctx, "users", columns, len(users), func(i int) []any {
		u := &users[i]
		return []any{
			u.ID, u.Login, prepare.LoginKey(u.Login), u.ExternalID, u.PasswordHash, u.Email, u.FirstName,
			u.LastName, u.NetworkID, u.MailboxID, int64(u.Level), int64(u.Status), u.Created,
		}
	})
}

// WriteSessions adds sessions as they are. Their epoch is 0, as for the users added by WriteUsers.
func (s *Store) WriteSessions(ctx context.Context, sessions []authority.SessionWithOrigin) error {
	columns := "user_id " + strings.ReplaceAll(sessionInsertColumns, ",", "")
	return s.copyFrom(ctx, "session", columns, len(sessions), func(i int) []any {
		return append([]any{sessions[i].UserID}, sessionInsertValues(&sessions[i])...)
	})
}

// WriteAPIKeys adds API keys as they are.
func (s *Store) WriteAPIKeys(ctx context.Context, keys []storecopy.APIKeyRecord) error {
	const columns = "id user_id hash visibility is_primary session_id mask created scope max_level name expires"
	return s.copyFrom(ctx, "api_key", columns, len(keys), func(i int) []any {
		k := &keys[i]
		return []any{
			k.ID, k.UserID, k.Hash[:], int64(k.Visibility), k.Primary, sessionOrNull(k.Session), k.Mask, k.Created,
			int64(k.Scope), int64(k.MaxLevel), k.Name, k.Expires,
		}
	})
}

// WriteAssertions adds used assertions as they are.
func (s *Store) WriteAssertions(ctx context.Context, assertions []authority.UsedAssertion) error {
	return s.copyFrom(ctx, "used_assertion", "id expires", len(assertions), func(i int) []any {
		return []any{assertions[i].ID[:], assertions[i].Expires}
	})
}

// copyFrom adds n rows with COPY, without a time limit.
func (s *Store) copyFrom(ctx context.Context, table, columns string, n int, row func(i int) []any) error {
	_, err := withCopyConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) (int64, error) {
		rows := pgx.CopyFromSlice(n, func(i int) ([]any, error) { return row(i), nil })
		return conn.CopyFrom(ctx, pgx.Identifier{"pawl", table}, strings.Fields(columns), rows)
	})
	return err
}
