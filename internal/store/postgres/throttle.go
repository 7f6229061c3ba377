package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// nodeLock is the first key of the advisory lock of a node ("Pawo" in ASCII). The second key is the number of the node,
// which is random. Each connection of a node holds the lock shared. So if the lock can be taken exclusively, the node
// has died, and its attempts with it.
const nodeLock = 0x5061776f

// lockNode locks the number of the node on a new connection.
func lockNode(ctx context.Context, conn *pgx.Conn, node int32) error {
	_, err := conn.Exec(ctx, "SELECT pg_advisory_lock_shared($1, $2)", int32(nodeLock), node)
	return err
}

// BeginAttempt reserves an attempt unless it must wait. An attempt that must wait is found by a plain read, so that a
// flood of attempts locks no row.
func (s *Store) BeginAttempt(ctx context.Context, a throttle.Attempt) (wait time.Duration, known bool, err error) {
	rows, err := query(ctx, s, scanCounter, selectCounters, counterArgs(a)...)
	if err != nil {
		return 0, false, err
	}
	if wait := s.countersOf(a, rows, s.isOwn).Wait(a.At); wait > 0 {
		return wait, false, nil
	}
	type begun struct {
		wait  time.Duration
		known bool
	}
	result, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (begun, error) {
		rows, err := lockCounters(ctx, tx, a)
		if err != nil {
			return begun{}, err
		}
		counters := s.countersOf(a, rows, func(int32) bool { return true })
		known := counters.Known != nil
		wait := counters.Wait(a.At)
		if wait > 0 {
			lives, err := s.liveNodes(ctx, tx, rows)
			if err != nil {
				return begun{}, err
			}
			wait = s.countersOf(a, rows, lives).Wait(a.At)
		}
		if wait > 0 {
			return begun{wait: wait, known: known}, nil
		}
		const reserve = "INSERT INTO pawl.attempt (id, account, address, known, node, at)" +
			" VALUES ($1, $2, $3, $4, $5, $6)"
		_, err = tx.Exec(ctx, reserve, [16]byte(a.ID), a.Account[:], a.Address, known, s.node, a.At)
		return begun{known: known}, err
	})
	return result.wait, result.known, err
}

// isOwn reports whether a number is that of this node.
func (s *Store) isOwn(node int32) bool { return node == s.node }

// liveNodes returns a function that reports whether a node with a reservation lives. It keeps the locks of dead nodes
// until the end of the transaction.
func (s *Store) liveNodes(ctx context.Context, tx pgx.Tx, rows []counterRow) (lives func(int32) bool, err error) {
	dead := map[int32]bool{s.node: false}
	for _, row := range rows {
		if _, checked := dead[row.node]; checked || row.kind != reservationRow {
			continue
		}
		var locked bool
		sql, args := "SELECT pg_try_advisory_xact_lock($1, $2)", []any{int32(nodeLock), row.node}
		if s.rowLocks.needed.Load() {
			sql = "SELECT NOT EXISTS (SELECT 1 FROM pawl.node WHERE number = $1 AND until > clock_timestamp())"
			args = []any{row.node}
		}
		if err := tx.QueryRow(ctx, sql, args...).Scan(&locked); err != nil {
			return nil, err
		}
		dead[row.node] = locked
	}
	return func(node int32) bool { return !dead[node] }, nil
}

// ResolveAttempt changes the counters of an attempt by its outcome, and ends its reservation.
func (s *Store) ResolveAttempt(ctx context.Context, a throttle.Attempt, known bool, o throttle.Outcome) error {
	const end = "DELETE FROM pawl.attempt WHERE id = $1"
	if o == throttle.Unchecked {
		_, err := s.exec(ctx, end, [16]byte(a.ID))
		return err
	}
	_, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (none, error) {
		rows, err := lockCounters(ctx, tx, a)
		if err != nil {
			return none{}, err
		}
		counters := s.countersOf(a, rows, func(int32) bool { return false })
		if err := saveCounters(ctx, tx, a, counters, counters.Resolve(a.At, known, o)); err != nil {
			return none{}, err
		}
		_, err = tx.Exec(ctx, end, [16]byte(a.ID))
		return none{}, err
	})
	return err
}

const counterColumns = "account, address, failures, last_failure, expires"

// All statements create and lock the counters in the order of their primary keys, so that two attempts cannot deadlock.
const (
	whereCounters = " FROM pawl.failure_counter WHERE (account, address) IN (($3, $2), ($1, ''), ($1, $2))"
	// selectCounters reads the counters of an attempt, and the reservations that count in them.
	selectCounters = "SELECT 0 AS kind, " + counterColumns + ", false AS known, 0 AS node" + whereCounters + `
		UNION ALL SELECT 1, account, address, 0, at, 0, known, node FROM pawl.attempt WHERE account = $1
		UNION ALL SELECT 1, account, address, 0, at, 0, known, node FROM pawl.attempt
			WHERE address = $2 AND account <> $1`
	lockRows       = "SELECT 1" + whereCounters + " ORDER BY account, address FOR UPDATE"
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

// lockCounters locks the rows of the counters of an attempt, and then reads them. It creates missing rows with zeros.
// Such a row has expired, so the next sweep removes it.
func lockCounters(ctx context.Context, tx pgx.Tx, a throttle.Attempt) ([]counterRow, error) {
	var batch pgx.Batch
	batch.Queue(createCounters, counterArgs(a)...)
	batch.Queue(lockRows, counterArgs(a)...)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err
	}
	return collect(ctx, tx, scanCounter, selectCounters, counterArgs(a)...)
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

// counterRow is a row of selectCounters: a counter, or a reservation with its time as LastFailure.
type counterRow struct {
	kind    int32
	account throttle.AccountHash
	address string
	counter throttle.Counter
	known   bool
	node    int32
}

const reservationRow = 1

func scanCounter(row pgx.CollectableRow) (r counterRow, err error) {
	var account []byte
	err = row.Scan(&r.kind, &account, &r.address, &r.counter.Failures, &r.counter.LastFailure, &r.counter.Expires,
		&r.known, &r.node)
	copy(r.account[:], account)
	return r, err
}

// countersOf returns the counters of an attempt, with the reservations of the nodes that live. An expired counter of a
// known address is left out.
func (s *Store) countersOf(a throttle.Attempt, rows []counterRow, lives func(int32) bool) throttle.Counters {
	var counters throttle.Counters
	for _, row := range rows {
		switch {
		case row.kind == reservationRow:
		case row.account != a.Account:
			counters.Address = row.counter
		case row.address == "":
			counters.Account = row.counter
		case row.counter.Expires > a.At:
			counters.Known = new(row.counter)
		}
	}
	for _, row := range rows {
		if row.kind == reservationRow && lives(row.node) {
			other := throttle.Attempt{Account: row.account, Address: row.address, At: row.counter.LastFailure}
			counters.Reserve(a, other, row.known)
		}
	}
	return counters
}

// clearAttempts removes the counters and reservations of an account unless it is nil.
func clearAttempts(ctx context.Context, tx pgx.Tx, account *throttle.AccountHash) error {
	if account == nil {
		return nil
	}
	const sql = "DELETE FROM pawl.failure_counter WHERE account = $1 AND (address = '' OR failures > 0)"
	if _, err := tx.Exec(ctx, sql, account[:]); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM pawl.attempt WHERE account = $1", account[:])
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
	const deleteReservations = "DELETE FROM pawl.attempt WHERE id IN" +
		" (SELECT id FROM pawl.attempt WHERE at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
	oldest := now - int64(throttle.ReservationLife/time.Second)
	if _, err := s.exec(ctx, deleteReservations, oldest, limit); err != nil {
		return 0, err
	}
	return withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (int, error) {
		expired, err := tx.Exec(ctx, deleteExpired, now, limit)
		if err != nil {
			return 0, err
		}
		excess, err := tx.Exec(ctx, deleteExcess, now, int64(limit)-expired.RowsAffected(), maxAccounts)
		return int(expired.RowsAffected() + excess.RowsAffected()), err
	})
}
