package postgres

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

// OpenSession adds a session of a user who may sign in. It locks the user's row against a change of the status or the
// password, and against other sign-ins of the user, until the commit.
func (s *Store) OpenSession(ctx context.Context, o authority.Opening) ([]authority.EndedSession, error) {
	result, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (opened, error) {
		if err := s.lockOpening(ctx, tx, &o); err != nil {
			return opened{}, err
		}
		return s.openSession(ctx, tx, &o, &o.PasswordHash)
	})
	for _, e := range result.ended {
		s.recent.ended(e.ID)
	}
	return result.ended, err
}

// opened is the result of openSession: the user of the new session, and the sessions that it ended.
type opened struct {
	user  *authority.User
	ended []authority.EndedSession
}

// OpenSessionFor adds a session, and its user too if there is a new one. It locks the caller's API key or session
// shared, because a server opens many sessions at once with one API key.
func (s *Store) OpenSessionFor(
	ctx context.Context, r authority.Rights, o authority.Opening,
) (*authority.User, []authority.EndedSession, error) {
	result, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (opened, error) {
		if err := s.lockOpening(ctx, tx, &o); err != nil {
			return opened{}, err
		}
		if err := checkRights(ctx, tx, r, shared); err != nil {
			return opened{}, err
		}
		if err := useAssertion(ctx, tx, o); err != nil {
			return opened{}, err
		}
		o := o
		if o.NewUser != nil {
			user, err := createUser(ctx, tx, o.NewUser)
			if err != nil {
				return opened{}, err
			}
			o.UserID = user.ID
		}
		return s.openSession(ctx, tx, &o, nil)
	})
	for _, e := range result.ended {
		s.recent.ended(e.ID)
	}
	return result.user, result.ended, err
}

// useAssertion marks the assertion of an opening as used. It also forgets a few expired ones, so that the table stays
// as small as the assertions of a few minutes.
func useAssertion(ctx context.Context, tx pgx.Tx, o authority.Opening) error {
	if o.Assertion == nil {
		return nil
	}
	const forget = `DELETE FROM pawl.used_assertion WHERE id IN (SELECT id FROM pawl.used_assertion
		WHERE expires <= $1 ORDER BY expires LIMIT 10 FOR UPDATE SKIP LOCKED)`
	if _, err := tx.Exec(ctx, forget, o.Created); err != nil {
		return err
	}
	const use = "INSERT INTO pawl.used_assertion (id, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING"
	done, err := tx.Exec(ctx, use, o.Assertion.ID[:], o.Assertion.Expires)
	if err == nil && done.RowsAffected() == 0 {
		err = fault.ErrAssertionUsed
	}
	return err
}

const (
	fromOpening = " FROM pawl.users u" +
		" WHERE u.id = $1 AND u.status < $2 AND u.password_hash = coalesce($3, u.password_hash)"
	selectOpening = "SELECT " + userColumns + fromOpening
	// readOthers reads the sessions of a user that Opening.Excess decides on, if there are so many that one must end.
	// The statement begins after the user's row is locked, so it includes each session opened before. The order makes
	// it read a range of the index, and nothing beyond the limit.
	readOthers = "WITH others AS (SELECT " + sessionWithOriginColumns + ` FROM pawl.session s
		WHERE s.user_id = $1 AND s.epoch = (SELECT session_epoch FROM pawl.users WHERE id = $1)
		ORDER BY s.created, s.id LIMIT $2) SELECT * FROM others WHERE (SELECT count(*) FROM others) >= $3`
	insertOpening = "INSERT INTO pawl.session (user_id, epoch, actor_epoch, " + sessionInsertColumns + `)
		SELECT id, session_epoch, coalesce((SELECT a.session_epoch FROM pawl.users a WHERE a.id = $19), 0),
			$4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21` +
		fromOpening
	// readEpochs is for insertSession.
	readEpochs = "SELECT session_epoch, coalesce((SELECT a.session_epoch FROM pawl.users a WHERE a.id = $4), 0)" +
		fromOpening
)

// openSession adds a session, and ends the excess sessions of its user. Any password hash of the user is right if
// passwordHash is nil.
func (s *Store) openSession(
	ctx context.Context, tx pgx.Tx, o *authority.Opening, passwordHash *string,
) (result opened, err error) {
	user := []any{o.UserID, int64(authority.Suspended), passwordHash}
	var others []authority.Session
	var statements pgx.Batch
	lock := exclusive
	if s.citus != nil {
		lock = "" // lockOpening takes its place
	}
	setUser := eachRow(scanUser, func(u *authority.User) { result.user = u })
	statements.Queue(selectOpening+lock, user...).Query(setUser)
	if o.MaxSessions > 0 {
		limit := o.MaxSessions + authority.MaxEndedAtOnce
		statements.Queue(readOthers, o.UserID, limit, o.MaxSessions).Query(eachRow(scanSessionWithOrigin,
			func(r authority.SessionWithOrigin) { others = append(others, r.Session) }))
	}
	var epoch, actorEpoch int32
	if s.citus != nil {
		statements.Queue(readEpochs, append(user, o.ActorID())...).QueryRow(func(row pgx.Row) error {
			return row.Scan(&epoch, &actorEpoch)
		})
	} else {
		insert := append(user, sessionInsertValues(&o.SessionWithOrigin)...)
		statements.Queue(insertOpening, insert...).Exec(func(tag pgconn.CommandTag) error {
			return requireRow(tag, nil)
		})
	}
	err = tx.SendBatch(ctx, &statements).Close()
	if err == nil && s.citus != nil {
		err = insertSession(ctx, tx, o, epoch, actorEpoch)
	}
	if err != nil {
		return result, err
	}
	if result.ended = o.Excess(others); len(result.ended) == 0 {
		return result, nil
	}
	ids := make([][16]byte, len(result.ended))
	changes := make([]revocation.Change, len(result.ended))
	for i, e := range result.ended {
		ids[i] = e.ID
		changes[i] = revocation.SessionEnded(e.ID)
	}
	for _, group := range s.byShard(ids) {
		if _, err = tx.Exec(ctx, "DELETE FROM pawl.session WHERE id = ANY ($1)", group); err != nil {
			return result, err
		}
	}
	if err := s.deleteKeysOf(ctx, tx, ids); err != nil {
		return result, err
	}
	return result, s.publish(ctx, tx, changes...)
}

// sessionInsertColumns are the columns of a session, except its user and its epoch.
const sessionInsertColumns = "id, generation, created, refreshed, previous, expires, idle, ends, attempt, " +
	"idempotency_key, address, ip, user_agent, device, claims, actor_id, token_life, idle_life"

// sessionInsertValues returns the values of sessionInsertColumns.
func sessionInsertValues(r *authority.SessionWithOrigin) []any {
	return append([]any{
		[16]byte(r.ID), int64(r.Generation), r.Created, r.Refreshed, r.Previous, r.Expires, r.Idle, r.Ends, int64(0),
		idempotencyKeyBytes(r.IdempotencyKey), int64(r.Address), r.IP, r.UserAgent, r.Device,
	}, extrasValues(r.Extras)...)
}

// Session returns a session and its user, as their rows are now.
func (s *Store) Session(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	begun := s.recent.now()
	op := &sessionOp{}
	op.Value.key = id
	session, err := op.Value.result(inBatch(ctx, s, id, (*shard).sessionBatches, op))
	if err == nil {
		s.recent.put(session, begun)
	}
	return session, err
}

// RecentSession is Session, but may return a state up to Config.Staleness old.
func (s *Store) RecentSession(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	if session, ok := s.recent.get(id); ok {
		return session, nil
	}
	return s.Session(ctx, id)
}

// EndSession ends a session and its API keys.
func (s *Store) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	tag, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (pgconn.CommandTag, error) {
		tag, err := tx.Exec(ctx, "DELETE FROM pawl.session WHERE id = $1", [16]byte(id))
		if err == nil && tag.RowsAffected() > 0 {
			err = cmp.Or(s.deleteKeysOf(ctx, tx, [][16]byte{id}), s.publish(ctx, tx, revocation.SessionEnded(id)))
		}
		return tag, err
	})
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return s.confirm(ctx)
	}
	s.recent.ended(id)
	return nil
}

// EndSessions ends all sessions of a user except one. It takes the user's row before the failure counters, as
// SetPassword does, so that the two cannot deadlock.
func (s *Store) EndSessions(
	ctx context.Context, r authority.Rights, userID int64, opts authority.EndOptions,
) (ended int64, err error) {
	const (
		update = "UPDATE pawl.users SET session_epoch = session_epoch + 1 WHERE id = $1"
		count  = "SELECT count(*) FROM pawl.session s JOIN pawl.users u ON u.id = s.user_id " +
			"AND s.epoch = u.session_epoch - 1 WHERE u.id = $1 AND " + idle + " > $2"
	)
	type result struct {
		exists bool
		ended  int64
	}
	done, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (done result, err error) {
		tag, err := tx.Exec(ctx, update, userID)
		if err == nil {
			err = s.endEpochs(ctx, tx, userID, opts.Except)
		}
		if err == nil {
			err = clearAttempts(ctx, tx, opts.ClearAttempts)
		}
		if err == nil && opts.CountAt != 0 {
			done.ended, err = collectOne(ctx, tx, pgx.RowTo[int64], count, userID, opts.CountAt)
		}
		done.exists = tag.RowsAffected() == 1
		return done, err
	})
	if err != nil {
		return 0, err
	}
	if !done.exists {
		return 0, s.confirm(ctx)
	}
	s.userEnded(userID)
	return done.ended, nil
}
