package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/clock"
)

// This file reads the rows of pawl.revocation on each node that has followers of its feed, or a memory of sessions
// (recent.go). A poll returns the rows of the transactions that have committed since the poll before: they are in the
// snapshot of the one and not in that of the other. So no order of the commits is needed, each row is returned exactly
// once, and a poll that begins at a time returns every change acknowledged before.

const (
	// feedLife is how long commits write rows after a node has asked for it. A node asks again every renewEvery.
	feedLife    = "10 minutes"
	renewEvery  = time.Minute
	onLockLimit = "500ms"
	// maxPollPause is the longest pause between two polls of an epoch. It is far shorter than keepRows.
	maxPollPause = 5 * time.Second
	// keepRows is how long a row stays.
	keepRows   = 15 * time.Second
	minPoll    = 5 * time.Millisecond
	retryPause = 100 * time.Millisecond
)

var (
	errServerChanged = errors.New("the server of the database was restarted or replaced")
	errNotPublished  = errors.New("commits have not written their changes for a while")
	errPollPause     = errors.New("no poll has succeeded for a while")
)

// poll is the result of one poll.
type poll struct {
	begun      time.Time
	at         time.Time // by the clock of the database
	snapshot   string    // the transactions that it has seen
	server     string    // changes with each start of the server
	issued     int64     // the highest iat of a token
	until      string    // commits write their changes until then
	publishing bool      // whether commits have written their changes since the poll before
	rows       [][]byte  // of the transactions that the poll before has not seen
}

// pollSQL is one statement, so that everything is of one snapshot. If $1 is empty, it returns no rows. $2 is the until
// of the poll before, or empty. If it has passed, commits may have written nothing for a moment, even if another node
// has asked for their changes again since.
const pollSQL = `SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text, until::text, issued,
	clock_timestamp(), least(until, nullif($2, '')::timestamptz) > clock_timestamp(),
	ARRAY(SELECT changes FROM pawl.revocation
		WHERE $1 <> '' AND xid >= pg_snapshot_xmin(nullif($1, '')::pg_snapshot)
		AND NOT pg_visible_in_snapshot(xid, nullif($1, '')::pg_snapshot) ORDER BY xid)
	FROM pawl.feed`

// poll reads the rows after another poll.
func (s *Store) poll(ctx context.Context, before poll) (poll, error) {
	begun := time.Now()
	return withConn(ctx, s, hotTimeout, func(ctx context.Context, conn *pgx.Conn) (poll, error) {
		p := poll{begun: begun}
		err := conn.QueryRow(ctx, pollSQL, before.snapshot, before.until).
			Scan(&p.snapshot, &p.server, &p.until, &p.issued, &p.at, &p.publishing, &p.rows)
		return p, err
	})
}

// isLate reports whether more than maxPollPause has passed since the poll before, so that its rows may be incomplete.
// While the machine of the node was suspended, or its virtual machine paused, one or both of its clocks stood still.
// The clock of the database did not.
func (p *poll) isLate(before *poll) bool {
	return clock.Elapsed(before.begun, time.Now()) > maxPollPause || p.at.Sub(before.at) > maxPollPause
}

// follow follows the changes of all nodes while this node needs them, until ctx ends.
func (s *Store) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if !s.needsChanges() {
			select {
			case <-ctx.Done():
			case <-s.feed.Demand():
			}
			continue
		}
		err := s.followEpoch(ctx)
		s.feed.Break()
		s.recent.end()
		if err != nil {
			s.log.WarnContext(ctx, "the feed begins a new epoch", "err", explain(err))
			select {
			case <-ctx.Done():
			case <-time.After(retryPause):
			}
		}
	}
}

// needsChanges reports whether this node has a memory of sessions, or followers of its feed.
func (s *Store) needsChanges() bool { return s.recent != nil || s.feed.Active() }

// followEpoch follows the changes until it may have missed one, or this node no longer needs them.
func (s *Store) followEpoch(ctx context.Context) error {
	if err := s.turnOn(ctx); err != nil {
		return err
	}
	last, err := s.poll(ctx, poll{})
	if err != nil {
		return err
	}
	s.recent.begin(last.begun)
	s.feed.Issued(last.issued)
	s.feed.Open()
	old := oldRows{snapshot: last.snapshot, at: last.begun}
	renewed := last.begun
	pause := time.NewTicker(s.pollInterval())
	defer pause.Stop()
	for s.needsChanges() {
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		case <-s.feed.Demand():
		}
		instant := s.feed.Now()
		next, err := s.poll(ctx, last)
		switch {
		case next.isLate(&last):
			return errors.Join(errPollPause, err)
		case err != nil:
			continue // the next poll returns the same rows
		case next.server != last.server:
			return errServerChanged
		case !next.publishing:
			return errNotPublished
		}
		s.feed.Issued(next.issued)
		s.apply(next.rows)
		s.feed.Beat(instant)
		s.recent.beat(next.begun)
		last = next
		if time.Since(renewed) > renewEvery {
			if err := s.turnOn(ctx); err == nil {
				renewed = next.begun
			}
		}
		s.removeOld(ctx, &old, next)
	}
	return nil
}

// pollInterval returns the time between two polls: short enough for two in a heartbeat and four in the bound.
func (s *Store) pollInterval() time.Duration {
	interval := s.feed.Heartbeat() / 2
	if s.recent != nil {
		interval = min(interval, s.recent.bound/4)
	}
	return max(interval, minPoll)
}

// apply hands the changes of rows to this node's memory and to its feed.
func (s *Store) apply(rows [][]byte) {
	for _, row := range rows {
		changes, touched := changesOf(row)
		s.recent.apply(changes)
		for _, userID := range touched {
			s.recent.userChanged(userID)
		}
		s.feed.Publish(changes)
	}
}

// saveIssued raises the highest iat of a token.
func (s *Store) saveIssued(ctx context.Context, second int64) error {
	_, err := s.exec(ctx, "UPDATE pawl.feed SET issued = $1 WHERE issued < $1", second)
	return err
}

// turnOn lets every commit write its changes, from its return on.
//
// A transaction that has compared pawl.feed holds a lock on the table until its end, and takes its snapshot after the
// lock. So once turnOn has had the table for itself, every transaction that has not written its changes has ended, and
// every later one finds the new time. If the time is not near, an earlier call has done that.
func (s *Store) turnOn(ctx context.Context) error {
	const (
		set   = "UPDATE pawl.feed SET until = clock_timestamp() + interval '" + feedLife + "'"
		renew = set + " WHERE until > clock_timestamp() + interval '1 minute'"
	)
	tag, err := s.exec(ctx, renew)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	_, err = withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (none, error) {
		for _, sql := range []string{
			fmt.Sprintf("SET LOCAL lock_timeout = '%s'", onLockLimit), // because calls wait behind this lock
			"LOCK TABLE pawl.feed IN ACCESS EXCLUSIVE MODE",
			set,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return none{}, err
			}
		}
		return none{}, nil
	})
	return err
}

// oldRows is an earlier snapshot. Once it is older than keepRows, the rows of its transactions are removed.
type oldRows struct {
	snapshot string
	at       time.Time
}

// removeOld removes the rows that every node has read, or has missed: a node that has not polled for maxPollPause
// begins a new epoch. An error is ignored, because the next call or another node removes the rows.
func (s *Store) removeOld(ctx context.Context, old *oldRows, now poll) {
	if now.begun.Sub(old.at) < keepRows {
		return
	}
	const remove = "DELETE FROM pawl.revocation WHERE xid < pg_snapshot_xmin($1::pg_snapshot)"
	tag, err := s.exec(ctx, remove, old.snapshot)
	if err == nil && tag.RowsAffected() > 0 {
		_, _ = s.exec(ctx, "VACUUM (SKIP_LOCKED, TRUNCATE false) pawl.revocation") // so that new rows reuse the space
	}
	*old = oldRows{snapshot: now.snapshot, at: now.begun}
}
