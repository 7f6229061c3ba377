package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// This file is the path of a refresh, from top to bottom: Rotate puts the rotation into a batch, rotateBatch runs one
// statement for the whole batch, and resolve finds the outcomes of the rotations not made by the statement.

const (
	// resolveLimit is how long Rotate tries to find an unknown outcome: long enough to give up on the first host and
	// reach the next one.
	resolveLimit = 3 * hotTimeout
	minBackoff   = 5 * time.Millisecond
	maxBackoff   = 250 * time.Millisecond
	// triesInBatch is how often a batch may pass over a locked row before the rotation waits for the lock.
	triesInBatch = 4
)

// rotation is one caller's rotation in a batch.
type rotation struct {
	authority.Rotation
	// attempt is a random number stored in the row. It shows later whether this call has rotated the session, so that
	// the statement can be sent again if its outcome is unknown.
	attempt int64
	outcome outcome
}

// outcome is what one try of a rotation led to.
type outcome struct {
	session authority.SessionWithUser
	rotated bool
	err     error
	retry   bool // the outcome is unknown because of err, and another try may find it
}

func unknownOutcome(err error) outcome { return outcome{err: explain(err), retry: mayRetry(err)} }

type rotationOp = batch.Op[rotation]

// Rotate is the compare-and-swap of a refresh. It puts the rotation into a batch. As long as the outcome is unknown,
// after a conflict or because the connection broke during the commit, it puts the rotation into another batch. The next
// batch finds the outcome, because the row stores the attempt of its last rotation. The other rotations of a batch do
// not wait for that.
func (s *Store) Rotate(ctx context.Context, r authority.Rotation) (authority.SessionWithUser, bool, error) {
	if r.APIKey != nil && s.citus != nil {
		if err := s.checkAPIKey(ctx, r); err != nil {
			return authority.SessionWithUser{}, false, err
		}
		r.APIKey = nil
	}
	op := &rotationOp{Value: rotation{Rotation: r, attempt: rand.Int64()}}
	giveUp := time.Now().Add(resolveLimit)
	tries := 0
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		tries++
		if tries > triesInBatch && errors.Is(op.Value.outcome.err, errContended) {
			s.rotateAlone(ctx, op)
		} else if err := inBatch(ctx, s, r.Session, (*shard).rotationBatches, op); err != nil {
			return authority.SessionWithUser{}, false, fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
		}
		o := &op.Value.outcome
		if !o.retry || time.Now().Add(backoff).After(giveUp) {
			return o.session, o.rotated, o.err
		}
		select {
		case <-ctx.Done():
			return authority.SessionWithUser{}, false, fmt.Errorf("%w: %w", fault.ErrUnavailable, ctx.Err())
		case <-time.After(backoff): // the next try needs a change in the database
		}
	}
}

// rotateBatch tries the rotations of a batch once.
func (s *Store) rotateBatch(sh *shard, ops []*rotationOp) {
	start := time.Now()
	defer func() { s.metrics.StoreCommit(len(ops), time.Since(start)) }()
	moment := s.recent.now()
	rotated, err := withConnAt(context.Background(), s, sh.at, hotTimeout,
		func(ctx context.Context, conn *pgx.Conn) ([]rotatedRow, error) {
			if sh.tables != nil {
				rotated, err := sh.tables.rotateRows(ctx, conn, rotateArgs(ops))
				if !errors.Is(err, errShardMoved) {
					return rotated, err
				}
				s.citus.lookAgain()
			}
			sql, args := s.rotateStatement(ops)
			rows, err := conn.Query(ctx, sql, args...)
			if err != nil {
				return nil, err
			}
			rotated, err := pgx.AppendRows(make([]rotatedRow, 0, len(ops)), rows, scanRotatedRow)
			if err == nil && len(rotated) > 0 {
				s.hot.fence.confirm(conn, start)
			}
			return rotated, err
		})
	if err != nil {
		for _, op := range ops {
			op.Value.outcome = unknownOutcome(err)
		}
		return
	}
	for _, row := range rotated {
		ops[row.ordinal-1].Value.outcome = outcome{session: row.session, rotated: true}
	}
	var rest []*rotation
	for _, op := range ops {
		if !op.Value.outcome.rotated {
			rest = append(rest, &op.Value)
		}
	}
	s.resolveRest(rest)
	for _, op := range ops {
		if o := &op.Value.outcome; o.rotated {
			s.recent.rotated(o.session, moment)
		}
	}
}

// rotateAlone tries a rotation whose row other transactions lock again and again. It waits for its turn, on a
// connection that is not one of those for refreshes.
func (s *Store) rotateAlone(ctx context.Context, op *rotationOp) {
	moment := s.recent.now()
	rotated, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) ([]rotatedRow, error) {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
			return nil, err
		}
		// The lock has a statement of its own, because the rotation must see what happened while it waited.
		const lock = "SELECT 1 FROM pawl.session WHERE id = $1 FOR NO KEY UPDATE"
		if _, err := tx.Exec(ctx, lock, [16]byte(op.Value.Session)); err != nil {
			return nil, err
		}
		sql, args := s.rotateStatement([]*rotationOp{op})
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, scanRotatedRow)
	})
	switch {
	case err != nil:
		op.Value.outcome = unknownOutcome(err)
	case len(rotated) > 0:
		op.Value.outcome = outcome{session: rotated[0].session, rotated: true}
		s.recent.rotated(rotated[0].session, moment)
	default:
		s.resolveRest([]*rotation{&op.Value})
	}
}

// rotateSQL rotates the sessions at the generation seen by their callers, unless they are past their idle time. It
// calculates the times as authority.Rotation.Apply does.
//
// SKIP LOCKED passes over a row locked by another transaction; the next try of the rotation includes the row again. So
// a batch waits for no lock, two nodes cannot deadlock, and a session that stays locked delays no other session. A
// superseded token locks nothing.
//
// "published" writes the changes for the nodes in the same transaction (publish.go).
const rotateSQL = selectRotations + updateRotated + returnRotated + publishAndSelect

// rotateCheckedSQL is rotateSQL for a batch with API keys (rotationkey.go). It has a statement of its own, because the
// check would slow down the batches without one.
const rotateCheckedSQL = selectRotations + andPermitted + updateRotated + returnRotated + publishAndSelect

const publishAndSelect = `
), published AS (
  ` + publishRotated + `
)
SELECT * FROM rotated`

// rotateShardSQL is rotateSQL for the sessions of one shard. Citus finds the shard by the condition on the ids. The
// sessions are on another server than the table of the changes, so it publishes nothing.
const rotateShardSQL = selectRotations + inShard + updateRotated + inShard + returnRotated + endRotated

const endRotated = `
)
SELECT * FROM rotated`

// rotateShardCheckedSQL is rotateCheckedSQL for an engine without the feed, which publishes nothing either.
const rotateShardCheckedSQL = selectRotations + inShard + andPermitted + updateRotated + inShard + returnRotated + `
)
SELECT * FROM rotated`

// inShard lets Citus find the shard of a statement.
const inShard = " AND s.id = ANY ($1::uuid[])"

// selectRotations selects the rotations of a batch whose sessions are at the required generation. The subquery around
// $1 hides the size of the batch from the planner. PostgreSQL assumes 10 elements for an unknown array. Without the
// subquery, a batch of fewer than 10 would look cheaper than the generic plan, and PostgreSQL would plan the statement
// again for each such batch.
const selectRotations = `
WITH n AS (
  SELECT * FROM unnest((SELECT $1::uuid[]), $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
      $7::bytea[], $8::bigint[])
    WITH ORDINALITY AS n (id, origin, at, token_life, idle_life, attempt, idempotency_key, address, ordinal)
), locked AS MATERIALIZED (
  SELECT n.* FROM n JOIN pawl.session s ON s.id = n.id
  WHERE s.generation = n.origin AND n.at < ` + idle

const updateRotated = ` FOR NO KEY UPDATE OF s SKIP LOCKED
), rotated AS (
  UPDATE pawl.session s SET generation = n.origin + 1, refreshed = n.at,
    previous = ` + raceBegan + `,
    expires = least(n.at + coalesce(s.token_life, n.token_life), n.at + coalesce(s.idle_life, n.idle_life), s.ends),
    idle = least(n.at + coalesce(s.idle_life, n.idle_life), s.ends),
    attempt = n.attempt, idempotency_key = n.idempotency_key, address = n.address
  FROM locked n, pawl.users u
  WHERE s.id = n.id AND u.id = s.user_id AND u.status < $9 AND u.session_epoch = s.epoch AND s.generation = n.origin`

const returnRotated = `
  RETURNING ` + sessionWithUserColumns + `, n.ordinal, s.id AS rotated_id, s.generation AS rotated_generation`

// rotateStatement returns the statement for a batch and its arguments.
func (s *Store) rotateStatement(ops []*rotationOp) (sql string, args []any) {
	args = rotateArgs(ops)
	plain, checked := rotateSQL, rotateCheckedSQL
	if s.citus != nil || s.noFeed {
		plain, checked = rotateShardSQL, rotateShardCheckedSQL
	}
	if checks := apiKeyChecks(ops); checks != nil { // never on Citus, where Rotate has checked the API keys
		return checked, append(args, checks...)
	}
	return plain, args
}

func rotateArgs(ops []*rotationOp) []any {
	n := len(ops)
	ids := make([][16]byte, n)
	origins := make([]int64, n)
	at := make([]int64, n)
	tokenLives := make([]int64, n)
	idleLives := make([]int64, n)
	attempts := make([]int64, n)
	idempotencyKeys := make([][]byte, n)
	addresses := make([]int64, n)
	for i, op := range ops {
		r := &op.Value
		ids[i] = r.Session
		origins[i] = int64(r.From)
		at[i] = r.At
		tokenLives[i] = r.Lives.Token
		idleLives[i] = r.Lives.Idle
		attempts[i] = r.attempt
		idempotencyKeys[i] = idempotencyKeyBytes(r.IdempotencyKey)
		addresses[i] = int64(r.Address)
	}
	return []any{
		ids, origins, at, tokenLives, idleLives, attempts, idempotencyKeys, addresses, int64(authority.Suspended),
	}
}

// rotatedRow is a session rotated by the statement, and the ordinal of the rotation in its batch, from 1.
type rotatedRow struct {
	session authority.SessionWithUser
	ordinal int64
}

func scanRotatedRow(row pgx.CollectableRow) (r rotatedRow, err error) {
	r.session, err = scanSessionWithUser(row, &r.ordinal, nil, nil) // the last two columns are for "published"
	return r, err
}

var errContended = fmt.Errorf("%w: another transaction has locked the session", fault.ErrUnavailable)

// resolveRest sets the outcomes of the rotations not made by the statement.
func (s *Store) resolveRest(rest []*rotation) {
	if len(rest) == 0 {
		return
	}
	outcomes, err := withConnAt(context.Background(), s, s.serverOf(rest[0].Session), hotTimeout,
		func(ctx context.Context, conn *pgx.Conn) ([]outcome, error) { return s.resolve(ctx, conn, rest) })
	for i, r := range rest {
		if err != nil {
			r.outcome = unknownOutcome(err)
		} else {
			r.outcome = outcomes[i]
		}
	}
}

// resolve returns the outcomes of rotations from the current rows. If a row could still be rotated, another transaction
// had locked it, and the rotation needs another try.
//
// A caller may get the successor of its token if the caller's own attempt made the successor, or as a replay. The
// standby may not have the successor yet, so resolve waits for it.
func (s *Store) resolve(ctx context.Context, conn *pgx.Conn, rest []*rotation) ([]outcome, error) {
	rows, err := readAttempts(ctx, conn, rest)
	if err != nil {
		return nil, err
	}
	permitted, err := permittedKeys(ctx, conn, rest)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(rest))
	var successors []token.SessionID
	for i, r := range rest {
		row, found := rows[r.Session]
		session := &row.session.Session
		next := session.Generation == r.From+1
		own := found && next && row.attempt == r.attempt
		switch {
		case !own && r.APIKey != nil && !permitted[r.check()]:
			outcomes[i] = outcome{err: fault.ErrActorEnded}
		case !found:
			outcomes[i] = outcome{err: fault.ErrNotFound}
		case r.Rotates(session):
			outcomes[i] = outcome{err: errContended, retry: true}
		default:
			outcomes[i] = outcome{session: row.session, rotated: own}
			replay := next && r.MayReplay(session)
			if outcomes[i].rotated || replay {
				successors = append(successors, r.Session)
			}
		}
	}
	if len(successors) > 0 {
		if err := s.confirmOn(ctx, conn, successors); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// attemptRow is a session, and the attempt of its last rotation.
type attemptRow struct {
	session authority.SessionWithUser
	attempt int64
}

func readAttempts(ctx context.Context, conn *pgx.Conn, rest []*rotation) (map[token.SessionID]attemptRow, error) {
	ids := make([][16]byte, len(rest))
	for i, r := range rest {
		ids[i] = r.Session
	}
	scan := func(row pgx.CollectableRow) (id token.SessionID, r attemptRow, err error) {
		r.session, err = scanSessionWithUser(row, &r.attempt)
		return r.session.Session.ID, r, err
	}
	return collectMap(ctx, conn, len(rest), scan, "SELECT "+sessionWithUserColumns+", s.attempt"+fromSessionWithUser,
		ids, int64(authority.Suspended))
}
