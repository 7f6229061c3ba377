package postgres

import (
	"bytes"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// BeginAttempt counts an attempt as failed unless it must wait. An attempt that must wait is found by a plain read, so
// that a flood of attempts locks no row.
func (s *Store) BeginAttempt(ctx context.Context, a throttle.Attempt) (wait time.Duration, known bool, err error) {
	rows, err := query(ctx, s, scanCounter, selectCounters, counterArgs(a)...)
	if err != nil {
		return 0, false, err
	}
	if _, wait := countersOf(a, rows).Begin(a.At); wait > 0 {
		return wait, false, nil
	}
	type begun struct {
		wait  time.Duration
		known bool
	}
	result, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (begun, error) {
		counters, err := lockCounters(ctx, tx, a)
		if err != nil {
			return begun{}, err
		}
		next, wait := counters.Begin(a.At)
		known := next.Known != nil
		if wait > 0 {
			return begun{wait: wait, known: known}, nil
		}
		if known { // the attempt counts for the known address only
			next.Account, next.Address = counters.Account, counters.Address
		}
		return begun{known: known}, saveCounters(ctx, tx, a, counters, next)
	})
	return result.wait, result.known, err
}

// ResolveAttempt changes the counters of an attempt by its outcome.
func (s *Store) ResolveAttempt(ctx context.Context, a throttle.Attempt, known bool, o throttle.Outcome) error {
	_, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (none, error) {
		counters, err := lockCounters(ctx, tx, a)
		if err != nil {
			return none{}, err
		}
		return none{}, saveCounters(ctx, tx, a, counters, counters.Resolve(a.At, known, o))
	})
	return err
}

const counterColumns = "account, address, failures, last_failure, expires"

// All statements create and lock the counters in the order of their primary keys, so that two attempts cannot deadlock.
const (
	selectCounters = "SELECT " + counterColumns + ` FROM pawl.failure_counter
		WHERE (account, address) IN (($3, $2), ($1, ''), ($1, $2)) ORDER BY account, address`
	createCounters = "INSERT INTO pawl.failure_counter (" + counterColumns + `)
		VALUES ($3, $2, 0, 0, 0), ($1, '', 0, 0, 0) ON CONFLICT DO NOTHING`
	saveCounter = "INSERT INTO pawl.failure_counter (" + counterColumns + `) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, address) DO UPDATE SET failures = excluded.failures,
			last_failure = excluded.last_failure, expires = excluded.expires`
)

func counterArgs(a throttle.Attempt) []any {
	allAccounts := throttle.AccountHash{}
	return []any{a.Account[:], a.Address, allAccounts[:]}
}

// lockCounters reads the counters of an attempt and locks their rows. It creates missing rows with zeros. Such a row
// has expired, so the next sweep removes it.
func lockCounters(ctx context.Context, tx pgx.Tx, a throttle.Attempt) (throttle.Counters, error) {
	if _, err := tx.Exec(ctx, createCounters, counterArgs(a)...); err != nil {
		return throttle.Counters{}, err
	}
	rows, err := collect(ctx, tx, scanCounter, selectCounters+" FOR UPDATE", counterArgs(a)...)
	return countersOf(a, rows), err
}

// saveCounters writes the counters that differ.
func saveCounters(ctx context.Context, tx pgx.Tx, a throttle.Attempt, before, after throttle.Counters) error {
	var batch pgx.Batch
	save := func(account throttle.AccountHash, address string, c throttle.Counter) {
		batch.Queue(saveCounter, account[:], address, c.Failures, c.LastFailure, c.Expires)
	}
	if after.Address != before.Address {
		save(throttle.AccountHash{}, a.Address, after.Address)
	}
	if after.Account != before.Account {
		save(a.Account, "", after.Account)
	}
	if after.Known != nil && (before.Known == nil || *after.Known != *before.Known) {
		save(a.Account, a.Address, *after.Known)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

type counterRow struct {
	account []byte
	address string
	counter throttle.Counter
}

func scanCounter(row pgx.CollectableRow) (r counterRow, err error) {
	err = row.Scan(&r.account, &r.address, &r.counter.Failures, &r.counter.LastFailure, &r.counter.Expires)
	return r, err
}

// countersOf returns the counters of an attempt. An expired counter of a known address is left out.
func countersOf(a throttle.Attempt, rows []counterRow) throttle.Counters {
	var counters throttle.Counters
	for _, row := range rows {
		switch {
		case !bytes.Equal(row.account, a.Account[:]):
			counters.Address = row.counter
		case row.address == "":
			counters.Account = row.counter
		case row.counter.Expires > a.At:
			counters.Known = &row.counter
		}
	}
	return counters
}

// clearAttempts removes the counters of an account unless it is nil.
func clearAttempts(ctx context.Context, tx pgx.Tx, account *throttle.AccountHash) error {
	if account == nil {
		return nil
	}
	const sql = "DELETE FROM pawl.failure_counter WHERE account = $1 AND (address = '' OR failures > 0)"
	_, err := tx.Exec(ctx, sql, account[:])
	return err
}

// SweepAttempts removes expired counters, and the counters of accounts beyond maxAccounts. Locked counters are left to
// the next sweep.
func (s *Store) SweepAttempts(ctx context.Context, now int64, maxAccounts, limit int) (int, error) {
	const (
		deleteExpired = `DELETE FROM pawl.failure_counter WHERE (account, address) IN
			(SELECT account, address FROM pawl.failure_counter WHERE expires <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`
		deleteExcess = `DELETE FROM pawl.failure_counter WHERE (account, address) IN
			(SELECT account, address FROM pawl.failure_counter WHERE address = '' AND expires > $1 ORDER BY expires
			 LIMIT least($2, greatest(0, (SELECT count(*) FROM pawl.failure_counter WHERE address = '') - $3))
			 FOR UPDATE SKIP LOCKED)`
	)
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (int, error) {
		expired, err := tx.Exec(ctx, deleteExpired, now, limit)
		if err != nil {
			return 0, err
		}
		excess, err := tx.Exec(ctx, deleteExcess, now, int64(limit)-expired.RowsAffected(), maxAccounts)
		return int(expired.RowsAffected() + excess.RowsAffected()), err
	})
}
