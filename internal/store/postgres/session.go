package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/token"
)

// OpenSession adds a session of a user who may sign in. It locks the user's row against a change of the status or the
// password until the commit.
func (s *Store) OpenSession(ctx context.Context, r authority.SessionWithOrigin, passwordHash string) error {
	const sql = `INSERT INTO pawl.session (id, user_id, generation, created, refreshed, previous, expires, ends,
			idempotency_key, attempt, ip, user_agent)
		SELECT $1, id, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10 FROM pawl.users
		WHERE id = $11 AND status < $12 AND password_hash = $13 FOR SHARE`
	return requireRow(s.exec(ctx, sql,
		[16]byte(r.ID), int64(r.Generation), r.Created, r.Refreshed, r.Previous, r.Expires, r.Ends,
		idempotencyKeyBytes(r.IdempotencyKey), r.IP, r.UserAgent,
		r.UserID, int64(authority.Suspended), passwordHash))
}

// Session returns a session and its user, as their rows are now.
func (s *Store) Session(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	begun := time.Now()
	session, err := lookUp(ctx, s.sessions, id)
	return s.stale.merge(id, session, err, begun)
}

// RecentSession is Session, but may return a state up to Config.Staleness old.
func (s *Store) RecentSession(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	if session, found, err := s.stale.get(id); found {
		return session, err
	}
	return s.Session(ctx, id)
}

// EndSession ends a session and its API keys.
func (s *Store) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	return s.endSessions(ctx, r, nil, "id = $1", [16]byte(id))
}

// EndSessions ends all sessions of a user except one.
func (s *Store) EndSessions(
	ctx context.Context, r authority.Rights, userID int64, opts authority.EndOptions,
) error {
	return s.endSessions(ctx, r, opts.ClearAttempts, "user_id = $1 AND id <> $2", userID, [16]byte(opts.Except))
}

func (s *Store) endSessions(
	ctx context.Context, r authority.Rights, account *throttle.AccountHash, where string, args ...any,
) error {
	ended, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) ([]token.SessionID, error) {
		if err := clearAttempts(ctx, tx, account); err != nil {
			return nil, err
		}
		return collect(ctx, tx, scanSessionID, deleteSessions(where), args...)
	})
	if err != nil {
		return err
	}
	s.stale.addEnded(ended)
	if len(ended) == 0 {
		return s.confirm(ctx)
	}
	return nil
}

// deleteSessions returns a statement that deletes sessions and returns their ids. It locks the rows in the order of
// their ids, so that two calls that end sessions cannot deadlock.
func deleteSessions(where string) string {
	return "DELETE FROM pawl.session WHERE id IN (SELECT id FROM pawl.session WHERE " + where +
		" ORDER BY id FOR UPDATE) RETURNING id"
}

func scanSessionID(row pgx.CollectableRow) (id token.SessionID, err error) {
	err = row.Scan((*[16]byte)(&id))
	return id, err
}

// Sessions lists the live sessions of a user.
func (s *Store) Sessions(ctx context.Context, userID, now int64) ([]authority.SessionWithOrigin, error) {
	return query(ctx, s, scanSessionWithOrigin, "SELECT "+sessionWithOriginColumns+
		" FROM pawl.session s WHERE s.user_id = $1 AND s.expires > $2 ORDER BY s.created, s.id", userID, now)
}
