package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// sweep is the state of this node's sweep of the sessions.
type sweep struct {
	mu    sync.Mutex      // guards the fields below, and lets one page be swept at a time
	after token.SessionID // the last session of the page before; zero between two sweeps
	begun time.Time       // when this node began the sweep, with a monotonic reading
}

const (
	minSweepPause = 60 // seconds from the beginning of one sweep to the beginning of the next
	// sweepShare makes the pause at least this many times as long as the last sweep took, so that the sweeps of a large
	// table use a small share of the database's time.
	sweepShare = 20
	// sweepVisits is how many rows Sweep reads at once for each session that it may remove, because most sessions live.
	sweepVisits = 5
)

// Sweep removes sessions past their idle time, their API keys, and the ended sessions that Purge left. It reads a page
// of all sessions in the order of their ids, because an index on the idle time would cost every refresh a second write.
// One node at a time sweeps. On the other nodes, Sweep reports at once that it is done.
func (s *Store) Sweep(
	ctx context.Context, now int64, limit int,
) (ended []authority.EndedSession, done bool, err error) {
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	if s.sweep.after == (token.SessionID{}) {
		claimed, err := s.claimSweep(ctx)
		if err != nil || !claimed {
			return nil, true, err
		}
		s.sweep.begun = time.Now()
	}
	const readPage = "SELECT s.id, " + removable + " FROM pawl.session s JOIN pawl.users u ON u.id = s.user_id" +
		" WHERE s.id > $1 ORDER BY s.id LIMIT $3"
	page, err := query(ctx, s, scanSweepRow, readPage, [16]byte(s.sweep.after), now, sweepVisits*limit)
	if err != nil {
		return nil, false, err
	}
	done = len(page) < sweepVisits*limit
	var ids [][16]byte
	for i, row := range page {
		if !row.removable {
			continue
		}
		if ids = append(ids, row.id); len(ids) == limit && i+1 < len(page) {
			page, done = page[:i+1], false
			break
		}
	}
	if ended, err = s.removeSwept(ctx, ids, now); err != nil {
		return nil, false, err
	}
	if !done {
		s.sweep.after = page[len(page)-1].id
		return ended, false, nil
	}
	s.sweep.after = token.SessionID{}
	// By the monotonic clock, because the step of a clock would delay the next sweep by a multiple of its size.
	took := int64(time.Since(s.sweep.begun) / time.Second)
	_, err = s.exec(ctx, "UPDATE pawl.state SET sweep_took = $1", took)
	return ended, true, err
}

// removeSwept removes sessions, and returns those that have ended by their times. A session being refreshed is locked,
// or no longer idle. It is left to the next sweep.
func (s *Store) removeSwept(ctx context.Context, ids [][16]byte, now int64) ([]authority.EndedSession, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	scan := func(row pgx.CollectableRow) (authority.EndedSession, error) {
		var session authority.Session
		var before bool // the session ended with an epoch, and so has an event already
		var actorID int64
		err := row.Scan((*[16]byte)(&session.ID), &session.UserID, &session.Idle, &session.Ends, &actorID, &before)
		e := authority.EndedSession{ID: session.ID, UserID: session.UserID, ActorID: actorID}
		if !before {
			e.Reason = session.TimedOut(now)
		}
		return e, err
	}
	var removed []authority.EndedSession
	var err error
	if s.citus != nil {
		removed, err = withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (all []authority.EndedSession, err error) {
			for _, group := range s.byShard(ids) {
				some, err := collect(ctx, tx, scan, sweepShardSQL, group, now)
				if err != nil {
					return nil, err
				}
				all = append(all, some...)
			}
			return all, s.deleteKeysOf(ctx, tx, column(all, func(e *authority.EndedSession) [16]byte { return e.ID }))
		})
	} else {
		removed, err = query(ctx, s, scan, sweepSQL, ids, now)
	}
	return slices.DeleteFunc(removed, func(e authority.EndedSession) bool { return e.Reason == 0 }), err
}

const (
	sweepSQL      = selectSwept + returnSwept
	sweepShardSQL = selectSwept + inShard + returnSwept // for the sessions of one shard

	selectSwept = `WITH swept AS (
			SELECT s.id, u.session_epoch FROM pawl.session s JOIN pawl.users u ON u.id = s.user_id
			WHERE s.id = ANY ($1) AND (` + removable + `) ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
		)
		DELETE FROM pawl.session s USING swept WHERE s.id = swept.id`
	returnSwept = `
		RETURNING s.id, s.user_id, ` + idle + `, s.ends, coalesce(s.actor_id, 0), s.epoch < swept.session_epoch`
)

// removable is the condition for removing a session in a sweep at the time $2. It compares epochs with "<" and not with
// "<>", because PostgreSQL may combine the current row of a session with an earlier row of its user. If EndSessions
// kept the session in between, the epoch of the session is the higher one.
const removable = idle + " <= $2 OR s.epoch < u.session_epoch"

// claimSweep reports whether this node may begin a sweep, because no node has begun one recently. If the last one began
// in the future, the clock of the database was set back since.
func (s *Store) claimSweep(ctx context.Context) (bool, error) {
	const sql = `UPDATE pawl.state SET sweep_begun = extract(epoch FROM now())::bigint
		WHERE sweep_begun + greatest($1, $2 * sweep_took) <= extract(epoch FROM now())::bigint
			OR sweep_begun > extract(epoch FROM now())::bigint + $1`
	err := requireRow(s.exec(ctx, sql, int64(minSweepPause), int64(sweepShare)))
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

type sweepRow struct {
	id        token.SessionID
	removable bool
}

func scanSweepRow(row pgx.CollectableRow) (r sweepRow, err error) {
	err = row.Scan((*[16]byte)(&r.id), &r.removable)
	return r, err
}
