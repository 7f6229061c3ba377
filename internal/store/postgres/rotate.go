package postgres

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/token"
)

// rotation is one caller's step in a batch.
type rotation struct {
	authority.Rotation
	// attempt tells this step's work apart from every other's, so that the
	// statement can be sent again when nobody knows whether it was carried out.
	attempt int64

	decided bool // what follows holds
	live    authority.Live
	moved   bool
	err     error
}

type rotationOp = batch.Op[rotation]

// Rotate hands the rotation to the group commit.
func (s *Store) Rotate(ctx context.Context, r authority.Rotation) (authority.Live, bool, error) {
	op := &rotationOp{Value: rotation{Rotation: r, attempt: rand.Int64()}}
	if err := s.rotations.Do(ctx, op); err != nil {
		return authority.Live{}, false, fmt.Errorf("%w: %w", authority.ErrUnavailable, err)
	}
	return op.Value.live, op.Value.moved, op.Value.err
}

// resolveFor is how long a batch whose outcome is not known is asked about.
const resolveFor = 4 * time.Second

// rotateBatch carries out a batch. The statement is the compare-and-swap, and
// it may be sent again: it passes over a row that this same attempt has moved.
// So after a conflict, or when the connection died under a commit, sending it
// again finds out what happened; nothing is guessed.
func (s *Store) rotateBatch(ops []*rotationOp) {
	undecided := slices.Clone(ops)
	giveUp := time.Now().Add(resolveFor)
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		err := s.rotateOnce(undecided)
		undecided = slices.DeleteFunc(undecided, func(op *rotationOp) bool { return op.Value.decided })
		if len(undecided) == 0 {
			return
		}
		if err != nil && !mayRetry(err) || time.Now().Add(wait).After(giveUp) {
			fail(undecided, s.failed(cmp.Or(err, errContended)))
			return
		}
		time.Sleep(wait) // back-off: the next try needs the database to have changed
	}
}

var errContended = fmt.Errorf("%w: other nodes moved the same sessions again and again", authority.ErrUnavailable)

func fail(ops []*rotationOp, err error) {
	for _, op := range ops {
		op.Value.err = err
	}
}

// rotateSQL moves sessions that are where the caller thinks they are. It also
// writes a row anew, as it is, that this attempt or one with the same
// Idempotency-Key has moved already: the answer to it is then as durable as to
// the first, even where that one's wait for a standby was cut short.
//
// The rows are locked in the order of their ids, as they are wherever sessions
// end: so two nodes that move the same sessions wait for each other, and never
// in a circle. Sorting the arrays alone would leave the order to the planner
// (docs/architecture.md has what it costs).
const rotateSQL = `
WITH n AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
    WITH ORDINALITY AS n (id, origin, at, expires, attempt, retry_key, place)
), locked AS MATERIALIZED (
  SELECT n.* FROM n JOIN pawl.session s ON s.id = n.id ORDER BY s.id FOR UPDATE OF s
)
UPDATE pawl.session s SET
  generation = n.origin + 1,
  previous   = CASE WHEN ` + compare + ` THEN s.refreshed                ELSE s.previous  END,
  refreshed  = CASE WHEN ` + compare + ` THEN n.at                       ELSE s.refreshed END,
  expires    = CASE WHEN ` + compare + ` THEN least(n.expires, s.ends)   ELSE s.expires   END,
  attempt    = CASE WHEN ` + compare + ` THEN n.attempt                  ELSE s.attempt   END,
  retry_key  = CASE WHEN ` + compare + ` THEN n.retry_key                ELSE s.retry_key END
FROM locked n, pawl.users u
WHERE s.id = n.id AND u.id = s.user_id AND u.status < $7
  AND (` + compare + ` OR s.generation = n.origin + 1
       AND (s.attempt = n.attempt OR n.retry_key <> '' AND s.retry_key = n.retry_key))
RETURNING ` + liveColumns + `, n.place, s.attempt = n.attempt`

// rotateOnce tries the rotations once, and decides those whose outcome it sees.
func (s *Store) rotateOnce(ops []*rotationOp) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, rotateSQL, rotateArgs(ops)...)
	var answered []*rotationOp // decided only once the commit is known: at the end of the answer
	err = each(rows, err, func(rows pgx.Rows) error {
		var place int64
		var moved bool
		live, err := scanLive(rows, &place, &moved)
		if err != nil {
			return err
		}
		op := ops[place-1]
		op.Value.live, op.Value.moved = live, moved
		answered = append(answered, op)
		return nil
	})
	if err != nil {
		return err
	}
	for _, op := range answered {
		op.Value.decided = true
		s.recent.put(op.Value.live)
	}
	return s.readUnmoved(ctx, ops)
}

func rotateArgs(ops []*rotationOp) []any {
	n := len(ops)
	ids, retryKeys := make([][16]byte, n), make([][]byte, n)
	from, at, expires, attempts := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, op := range ops {
		r := &op.Value
		ids[i], retryKeys[i] = r.Session, retryBytes(r.RetryKey)
		from[i], at[i], expires[i], attempts[i] = int64(r.From), r.At, r.Expires, r.attempt
	}
	return []any{ids, from, at, expires, attempts, retryKeys, int64(authority.Suspended)}
}

// readUnmoved reads the sessions that were not moved, as they are. One that is
// where the caller thought is left undecided: another was in the way, and its
// turn comes at the next try.
func (s *Store) readUnmoved(ctx context.Context, ops []*rotationOp) error {
	var ids []token.SessionID
	for _, op := range ops {
		if !op.Value.decided {
			ids = append(ids, op.Value.Session)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := readSessions(ctx, s, ids)
	if err != nil {
		return err
	}
	for _, op := range ops {
		if op.Value.decided {
			continue
		}
		live, there := found[op.Value.Session]
		switch {
		case !there:
			op.Value.decided, op.Value.err = true, authority.ErrNotFound
		case live.Session.Generation != op.Value.From:
			op.Value.decided, op.Value.live, op.Value.moved = true, live, false
		}
	}
	return nil
}
