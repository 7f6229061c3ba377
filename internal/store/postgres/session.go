package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// OpenSession adds a session of a user who may sign in. It locks the user's row against a change of the status or the
// password until the commit.
func (s *Store) OpenSession(ctx context.Context, r authority.SessionWithOrigin, passwordHash string) error {
	const sql = `INSERT INTO pawl.session (id, user_id, generation, created, refreshed, previous, expires, ends,
			idempotency_key, attempt, ip, user_agent, epoch)
		SELECT $1, id, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, session_epoch FROM pawl.users
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
	tag, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (pgconn.CommandTag, error) {
		return tx.Exec(ctx, "DELETE FROM pawl.session WHERE id = $1", [16]byte(id))
	})
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return s.confirm(ctx)
	}
	s.stale.addEnded(id)
	return nil
}

// EndSessions ends all sessions of a user except one. It takes the user's row before the failure counters, as
// SetPassword does, so that the two cannot deadlock.
func (s *Store) EndSessions(
	ctx context.Context, r authority.Rights, userID int64, opts authority.EndOptions,
) error {
	const update = "UPDATE pawl.users SET session_epoch = session_epoch + 1 WHERE id = $1"
	exists, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (exists bool, err error) {
		tag, err := tx.Exec(ctx, update, userID)
		if err == nil {
			err = keepSession(ctx, tx, userID, opts.Except)
		}
		if err == nil {
			err = clearAttempts(ctx, tx, opts.ClearAttempts)
		}
		return tag.RowsAffected() == 1, err
	})
	if err != nil {
		return err
	}
	if !exists {
		return s.confirm(ctx)
	}
	s.stale.userChanged(userID)
	return nil
}

// keepSession moves a session to the new epoch of its user, so that the session does not end with the others. The
// session may be zero. An already ended session remains ended. The transaction has added one to the user's epoch, and
// holds the lock of the user's row.
func keepSession(ctx context.Context, tx pgx.Tx, userID int64, id token.SessionID) error {
	if id == (token.SessionID{}) {
		return nil
	}
	const sql = `UPDATE pawl.session s SET epoch = u.session_epoch FROM pawl.users u
		WHERE s.id = $1 AND s.user_id = $2 AND u.id = s.user_id AND s.epoch = u.session_epoch - 1`
	_, err := tx.Exec(ctx, sql, [16]byte(id), userID)
	return err
}

// Sessions lists the live sessions of a user.
func (s *Store) Sessions(ctx context.Context, userID, now int64) ([]authority.SessionWithOrigin, error) {
	return query(ctx, s, scanSessionWithOrigin, "SELECT "+sessionWithOriginColumns+
		fromLiveSession+" WHERE u.id = $1 AND s.expires > $2 ORDER BY s.created, s.id", userID, now)
}
