package postgres

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
)

// rotation is one caller's step in a batch.
type rotation struct {
	authority.Rotation
	// attempt tells this step's work apart from every other's, so that the
	// statement can be sent again when nobody knows whether it was carried out.
	attempt int64

	live  authority.SessionWithUser
	moved bool
	err   error
	again bool // it is not known yet, and sending it again may find out; err says why
}

type rotationOp = batch.Op[rotation]

const (
	// resolveFor is how long a rotation whose outcome is not known is asked
	// about: long enough for the first host to be given up, and the next to be
	// reached.
	resolveFor   = 3 * shortTimeout
	firstBackoff = 5 * time.Millisecond
	mostBackoff  = 250 * time.Millisecond
)

// Rotate hands the rotation to the group commit, and again as long as its
// outcome is not known. The statement is the compare-and-swap, and it may be
// sent again: the row says which attempt has moved it. So after a conflict, or
// when the connection died under a commit, sending it again finds out what
// happened; nothing is guessed. Others of its batch do not wait for it.
func (s *Store) Rotate(ctx context.Context, r authority.Rotation) (authority.SessionWithUser, bool, error) {
	op := &rotationOp{Value: rotation{Rotation: r, attempt: rand.Int64()}}
	giveUp := time.Now().Add(resolveFor)
	for backoff := firstBackoff; ; backoff = min(2*backoff, mostBackoff) {
		if err := s.rotations.Do(ctx, op); err != nil {
			return authority.SessionWithUser{}, false, fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
		}
		if !op.Value.again || time.Now().Add(backoff).After(giveUp) {
			return op.Value.live, op.Value.moved, op.Value.err
		}
		select {
		case <-ctx.Done():
			return authority.SessionWithUser{}, false, fmt.Errorf("%w: %w", fault.ErrUnavailable, ctx.Err())
		case <-time.After(backoff): // the next try needs the database to have changed
		}
	}
}

var errContended = fmt.Errorf("%w: another node holds the session", fault.ErrUnavailable)

// rotateSQL moves sessions that are where the caller thinks they are.
//
// A row that another transaction holds is passed over and comes with the next
// try: so a batch waits for no lock, no two nodes wait in a circle, and a
// session that is held for long holds up no other. An old token locks nothing.
const rotateSQL = `
WITH n AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
    WITH ORDINALITY AS n (id, origin, at, expires, attempt, idempotency_key, place)
), locked AS MATERIALIZED (
  SELECT n.* FROM n JOIN pawl.session s ON s.id = n.id WHERE s.generation = n.origin FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE pawl.session s SET generation = n.origin + 1, previous = s.refreshed, refreshed = n.at,
  expires = least(n.expires, s.ends), attempt = n.attempt, idempotency_key = n.idempotency_key
FROM locked n, pawl.users u
WHERE s.id = n.id AND u.id = s.user_id AND u.status < $7 AND s.generation = n.origin
RETURNING ` + liveColumns + `, n.place`

// rotateBatch tries the rotations once.
func (s *Store) rotateBatch(ops []*rotationOp) {
	start := time.Now()
	defer func() { s.metrics.StoreCommit(len(ops), time.Since(start)) }()
	begun := s.recent.now()
	for _, op := range ops {
		op.Value.again, op.Value.err = true, errContended
	}
	err := s.on(context.Background(), shortTimeout, func(ctx context.Context, conn *pgx.Conn) error { return s.rotateOn(ctx, conn, ops) })
	for _, op := range ops {
		if err != nil && op.Value.again {
			op.Value.again, op.Value.err = mayRetry(err), explain(err)
		}
		if op.Value.moved && op.Value.err == nil {
			s.recent.put(op.Value.live, begun)
		}
	}
}

// rotateOn decides the rotations whose outcome it sees.
func (s *Store) rotateOn(ctx context.Context, conn *pgx.Conn, ops []*rotationOp) error {
	rows, err := conn.Query(ctx, rotateSQL, rotateArgs(ops)...)
	var moved []*rotation // decided only once the commit is known: at the end of the answer
	err = each(rows, err, func(rows pgx.Rows) error {
		var place int64
		live, err := scanLive(rows, &place)
		if err != nil {
			return err
		}
		r := &ops[place-1].Value
		r.live, moved = live, append(moved, r)
		return nil
	})
	if err = cmp.Or(err, warning(conn)); err != nil {
		return err
	}
	for _, r := range moved {
		r.decide(r.live, true, nil)
	}
	return settle(ctx, conn, ops)
}

func (r *rotation) decide(live authority.SessionWithUser, moved bool, err error) {
	r.live, r.moved, r.err, r.again = live, moved, err, false
}

func rotateArgs(ops []*rotationOp) []any {
	n := len(ops)
	ids, retryKeys := make([][16]byte, n), make([][]byte, n)
	from, at, expires, attempts := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, op := range ops {
		r := &op.Value
		ids[i], retryKeys[i] = r.Session, retryBytes(r.IdempotencyKey)
		from[i], at[i], expires[i], attempts[i] = int64(r.From), r.At, r.Expires, r.attempt
	}
	return []any{ids, from, at, expires, attempts, retryKeys, int64(authority.Suspended)}
}
