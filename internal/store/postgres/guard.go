package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// BeginAttempt counts a guess as failed unless it must wait. Those that must are
// found by a plain read: a flood of them locks no row.
func (s *Store) BeginAttempt(ctx context.Context, g throttle.Attempt) (wait time.Duration, known bool, err error) {
	var t throttle.Counters
	err = s.query(ctx, selectTallies, tallyArgs(g), func(rows pgx.Rows) error { return scanTally(rows, g, &t) })
	if _, wait = t.Begin(g.At); err != nil || wait > 0 {
		return wait, false, err
	}
	err = s.tallies(ctx, g, func(t throttle.Counters) (next throttle.Counters) {
		next, wait = t.Begin(g.At)
		known = next.Known != nil
		switch {
		case wait > 0:
			return t
		case known: // the other two are not this guess's affair
			next.Account, next.Address = t.Account, t.Address
		}
		return next
	})
	return wait, known && err == nil, err
}

// ResolveAttempt brings the counts to what the outcome makes of them.
func (s *Store) ResolveAttempt(ctx context.Context, g throttle.Attempt, known bool, o throttle.Outcome) error {
	return s.tallies(ctx, g, func(t throttle.Counters) throttle.Counters { return t.Resolve(g.At, known, o) })
}

// The rows are made and locked in the order of their keys, so that no two
// guesses wait in a circle.
const (
	selectTallies = `SELECT account, address, failed, last, forget FROM pawl.failure_counter
		WHERE (account, address) IN (($3, $2), ($1, ''), ($1, $2)) ORDER BY account, address`
	makeTallies = `INSERT INTO pawl.failure_counter (account, address, failed, last, forget)
		VALUES ($3, $2, 0, 0, 0), ($1, '', 0, 0, 0) ON CONFLICT DO NOTHING`
	saveTally = `INSERT INTO pawl.failure_counter AS g (account, address, failed, last, forget) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, address) DO UPDATE SET failed = excluded.failed, last = excluded.last, forget = excluded.forget`
)

func tallyArgs(g throttle.Attempt) []any {
	return []any{g.Account[:], g.Address, make([]byte, len(g.Account))}
}

// tallies changes the counts of a guess in one step, with their rows locked. A
// row of zeros is as good as none, and goes with the next sweep.
func (s *Store) tallies(ctx context.Context, g throttle.Attempt, step func(throttle.Counters) throttle.Counters) error {
	return s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, makeTallies, tallyArgs(g)...); err != nil {
			return err
		}
		var t throttle.Counters
		rows, err := tx.Query(ctx, selectTallies+" FOR UPDATE", tallyArgs(g)...)
		if err := each(rows, err, func(rows pgx.Rows) error { return scanTally(rows, g, &t) }); err != nil {
			return err
		}
		return save(ctx, tx, g, t, step(t))
	})
}

func save(ctx context.Context, tx pgx.Tx, g throttle.Attempt, old, next throttle.Counters) error {
	var batch pgx.Batch
	put := func(account throttle.AccountHash, address string, t throttle.Counter) {
		batch.Queue(saveTally, account[:], address, t.Failures, t.LastFailure, t.Expires)
	}
	if next.Address != old.Address {
		put(throttle.AccountHash{}, g.Address, next.Address)
	}
	if next.Account != old.Account {
		put(g.Account, "", next.Account)
	}
	if next.Known != nil && (old.Known == nil || *next.Known != *old.Known) {
		put(g.Account, g.Address, *next.Known)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

func scanTally(rows pgx.Rows, g throttle.Attempt, t *throttle.Counters) error {
	var account []byte
	var address string
	var row throttle.Counter
	err := rows.Scan(&account, &address, &row.Failures, &row.LastFailure, &row.Expires)
	switch {
	case err != nil:
		return err
	case string(account) != string(g.Account[:]):
		t.Address = row
	case address == "":
		t.Account = row
	case row.Expires > g.At:
		t.Known = &row
	}
	return nil
}

// ClearAttempts removes the counts of an account.
func (s *Store) ClearAttempts(ctx context.Context, account throttle.AccountHash) error {
	return s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM pawl.failure_counter WHERE account = $1 AND (address = '' OR failed > 0)", account[:])
		return err
	})
}

const (
	forgetGuesses = `DELETE FROM pawl.failure_counter WHERE (account, address) IN
		(SELECT account, address FROM pawl.failure_counter WHERE forget <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`
	boundGuesses = `DELETE FROM pawl.failure_counter WHERE (account, address) IN
		(SELECT account, address FROM pawl.failure_counter WHERE address = '' AND forget > $1 ORDER BY forget
		 LIMIT least($2, greatest(0, (SELECT count(*) FROM pawl.failure_counter WHERE address = '') - $3)) FOR UPDATE SKIP LOCKED)`
)

// SweepAttempts removes counts that are forgotten, and of accounts those above
// most; those in use are left for the next sweep.
func (s *Store) SweepAttempts(ctx context.Context, now int64, most, limit int) (removed int, err error) {
	err = s.tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		forgotten, err := tx.Exec(ctx, forgetGuesses, now, limit)
		if err != nil {
			return err
		}
		above, err := tx.Exec(ctx, boundGuesses, now, int64(limit)-forgotten.RowsAffected(), most)
		removed = int(forgotten.RowsAffected() + above.RowsAffected())
		return err
	})
	return removed, err
}
