package postgres

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// OpenSession adds a session of a user who may sign in. The user's row is
// locked against a change of status or password until the commit.
func (s *Store) OpenSession(ctx context.Context, r authority.SessionWithOrigin, passwordHash string) error {
	return s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return changeOne(tx.Exec(ctx, `INSERT INTO pawl.session
			(id, user_id, generation, created, refreshed, previous, expires, ends, idempotency_key, attempt, ip, user_agent)
			SELECT $1, id, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10 FROM pawl.users WHERE id = $11 AND status < $12 AND password_hash = $13 FOR SHARE`,
			[16]byte(r.ID), int64(r.Generation), r.Created, r.Refreshed, r.Previous, r.Expires, r.Ends, retryBytes(r.IdempotencyKey), r.IP, r.UserAgent,
			r.UserID, int64(authority.Suspended), passwordHash))
	})
}

// RecentSession is Session as of a bounded time ago, where the settings allow
// that.
func (s *Store) RecentSession(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	if live, known, err := s.recent.get(id); known {
		return live, err
	}
	return s.Session(ctx, id)
}

// Session returns a session and its user, as the row is now.
func (s *Store) Session(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	begun := s.recent.now()
	live, err := look(ctx, s.sessions, id)
	return s.recent.learn(id, live, err, begun)
}

// EndSession ends a session; its keys go with it.
func (s *Store) EndSession(ctx context.Context, id token.SessionID) error {
	return s.endSessions(ctx, "id = $1", [16]byte(id))
}

// EndSessions ends the sessions of a user but for one.
func (s *Store) EndSessions(ctx context.Context, userID int64, except token.SessionID) error {
	return s.endSessions(ctx, "user_id = $1 AND id <> $2", userID, [16]byte(except))
}

func (s *Store) endSessions(ctx context.Context, where string, args ...any) error {
	var ended []token.SessionID
	err := s.tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		ended, err = deleteSessions(ctx, tx, where, args...)
		return err
	})
	if err == nil {
		s.recent.end(ended)
	}
	if err == nil && len(ended) == 0 {
		err = s.confirm(ctx)
	}
	return err
}

// deleteSessions locks the rows in the order of their ids, so that no two that
// end sessions wait in a circle, and deletes them.
func deleteSessions(ctx context.Context, tx pgx.Tx, where string, args ...any) (ended []token.SessionID, err error) {
	rows, err := tx.Query(ctx, "DELETE FROM pawl.session WHERE id IN (SELECT id FROM pawl.session WHERE "+where+" ORDER BY id FOR UPDATE) RETURNING id", args...)
	err = each(rows, err, func(rows pgx.Rows) error {
		var id [16]byte
		err := rows.Scan(&id)
		ended = append(ended, id)
		return err
	})
	return ended, err
}

// changeOne wants one row changed, else ErrNotFound.
func changeOne(tag interface{ RowsAffected() int64 }, err error) error {
	if err == nil && tag.RowsAffected() == 0 {
		return fault.ErrNotFound
	}
	return err
}

// Sessions lists the live sessions of a user.
func (s *Store) Sessions(ctx context.Context, userID, now int64) ([]authority.SessionWithOrigin, error) {
	records := []authority.SessionWithOrigin{}
	err := s.query(ctx, "SELECT "+sessionColumns+", s.ip, s.user_agent FROM pawl.session s WHERE s.user_id = $1 AND s.expires > $2 ORDER BY s.created, s.id",
		[]any{userID, now}, func(rows pgx.Rows) error {
			r, err := scanRecord(rows)
			records = append(records, r)
			return err
		})
	return records, err
}

func scanRecord(row pgx.Row) (r authority.SessionWithOrigin, err error) {
	var retryKey []byte
	err = row.Scan(append(sessionFields(&r.Session, &retryKey), &r.IP, &r.UserAgent)...)
	copy(r.IdempotencyKey[:], retryKey)
	return r, err
}

// sweeper is where this node's pass over the sessions is.
type sweeper struct {
	mu   sync.Mutex // guards next, and lets one sweep run at a time
	next token.SessionID
}

const (
	sweepPause = 60 // seconds from the begin of a pass to the next, at least
	// A pass over many rows takes long; a pause of so many times its length
	// keeps its share of the database's time small.
	sweepShare = 20
)

// Sweep goes through the sessions in the order of their ids: an index on the
// time would cost every refresh a second write. One node at a time makes a
// pass; for the others it has come round at once.
func (s *Store) Sweep(ctx context.Context, now int64, limit int) (removed int, done bool, err error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	var first token.SessionID
	if s.sweep.next == first {
		if mine, err := s.claimSweep(ctx); err != nil || !mine {
			return 0, true, err
		}
	}
	seen, last, over, err := s.sweepPage(ctx, now, limit)
	if err != nil {
		return 0, false, err
	}
	if len(over) > 0 {
		if removed, err = s.sweepOut(ctx, over, now); err != nil {
			return 0, false, err
		}
	}
	if seen == limit {
		s.sweep.next = last
		return removed, false, nil
	}
	s.sweep.next = first
	_, err = s.exec(ctx, "UPDATE pawl.state SET sweep_took = extract(epoch FROM now())::bigint - sweep_begun")
	return removed, true, err
}

// claimSweep begins a pass unless a node has begun one a short while ago.
func (s *Store) claimSweep(ctx context.Context) (bool, error) {
	err := changeOne(s.exec(ctx, `UPDATE pawl.state SET sweep_begun = extract(epoch FROM now())::bigint
		WHERE sweep_begun + greatest($1, $2 * sweep_took) <= extract(epoch FROM now())::bigint`, int64(sweepPause), int64(sweepShare)))
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) sweepPage(ctx context.Context, now int64, limit int) (seen int, last token.SessionID, over [][16]byte, err error) {
	err = s.query(ctx, "SELECT id, expires FROM pawl.session WHERE id > $1 ORDER BY id LIMIT $2",
		[]any{[16]byte(s.sweep.next), limit}, func(rows pgx.Rows) error {
			var expires int64
			err := rows.Scan((*[16]byte)(&last), &expires)
			seen++
			if expires <= now {
				over = append(over, last)
			}
			return err
		})
	return seen, last, over, err
}

// sweepOut deletes those that are still over; one that is being refreshed at
// this moment is left for the next pass.
func (s *Store) sweepOut(ctx context.Context, over [][16]byte, now int64) (int, error) {
	tag, err := s.exec(ctx, `DELETE FROM pawl.session WHERE id IN
		(SELECT id FROM pawl.session WHERE id = ANY ($1) AND expires <= $2 ORDER BY id FOR UPDATE SKIP LOCKED)`, over, now)
	return int(tag.RowsAffected()), err
}
