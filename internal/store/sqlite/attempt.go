package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// attemptStart is the result of BeginAttempt.
type attemptStart struct {
	wait         time.Duration
	knownAddress bool
}

// BeginAttempt counts an attempt as failed, unless it has to wait. It first reads the counters through a reader. An
// attempt that has to wait is thereby rejected without a commit, so that a flood of such attempts does not delay other
// writes.
func (s *Store) BeginAttempt(ctx context.Context, a throttle.Attempt) (wait time.Duration, known bool, err error) {
	counters, err := lookUp(ctx, s, func(conn *sqlite.Conn) (throttle.Counters, error) {
		return readCounters(conn, a)
	})
	if err != nil {
		return 0, false, err
	}
	if _, wait := counters.Begin(a.At); wait > 0 {
		return wait, false, nil
	}
	start, err := tx(ctx, s, normal, func(c *change) (attemptStart, error) { return beginAttempt(c.conn, a) })
	return start.wait, start.knownAddress, err
}

func beginAttempt(conn *sqlite.Conn, a throttle.Attempt) (attemptStart, error) {
	counters, err := readCounters(conn, a)
	if err != nil {
		return attemptStart{}, err
	}
	next, wait := counters.Begin(a.At)
	start := attemptStart{wait: wait, knownAddress: next.Known != nil}
	switch {
	case wait > 0:
		return start, nil
	case start.knownAddress:
		return start, saveCounter(conn, a.Account, a.Address, *next.Known)
	}
	return start, saveCounters(conn, a, next)
}

// ResolveAttempt updates the counters once the outcome of an attempt is known.
func (s *Store) ResolveAttempt(ctx context.Context, a throttle.Attempt, known bool, o throttle.Outcome) error {
	return s.write(ctx, normal, func(c *change) error {
		counters, err := readCounters(c.conn, a)
		if err != nil {
			return err
		}
		return saveCounters(c.conn, a, counters.Resolve(a.At, known, o))
	})
}

// readCounters reads the counters for an attempt.
func readCounters(conn *sqlite.Conn, a throttle.Attempt) (throttle.Counters, error) {
	var counters throttle.Counters
	err := query(conn, `SELECT account = ?1, address = ?2, failed, last, forget FROM failure_counter
		WHERE (account, address) IN (VALUES (?1, ?2), (?1, ''), (?3, ?2))`,
		args{a.Account[:], a.Address, make([]byte, len(a.Account))},
		func(stmt *sqlite.Stmt) {
			ofAccount, ofAddress := stmt.ColumnBool(0), stmt.ColumnBool(1)
			counter := throttle.Counter{
				Failures:    stmt.ColumnInt64(2),
				LastFailure: stmt.ColumnInt64(3),
				Expires:     stmt.ColumnInt64(4),
			}
			switch {
			case !ofAccount:
				counters.Address = counter
			case !ofAddress:
				counters.Account = counter
			case counter.Expires > a.At:
				counters.Known = &counter
			}
		})
	return counters, err
}

func saveCounters(conn *sqlite.Conn, a throttle.Attempt, c throttle.Counters) error {
	if err := saveCounter(conn, throttle.AccountHash{}, a.Address, c.Address); err != nil {
		return err
	}
	if err := saveCounter(conn, a.Account, "", c.Account); err != nil || c.Known == nil {
		return err
	}
	return saveCounter(conn, a.Account, a.Address, *c.Known)
}

// saveCounter writes the row of a counter. A counter without failures has a row only for a known address.
func saveCounter(conn *sqlite.Conn, account throttle.AccountHash, address string, c throttle.Counter) error {
	known := account != throttle.AccountHash{} && address != ""
	if c.Failures == 0 && !known {
		return execute(conn, "DELETE FROM failure_counter WHERE account = ? AND address = ?", account[:], address)
	}
	return execute(conn,
		"INSERT OR REPLACE INTO failure_counter (account, address, failed, last, forget) VALUES (?, ?, ?, ?, ?)",
		account[:], address, c.Failures, c.LastFailure, c.Expires)
}

// clearAttempts removes the counters of an account; nil is a no-op. It keeps the row of a known address without
// failures, so that the address stays known.
func (c *change) clearAttempts(account *throttle.AccountHash) error {
	if account == nil {
		return nil
	}
	return execute(c.conn, "DELETE FROM failure_counter WHERE account = ? AND (address = '' OR failed > 0)", account[:])
}

// SweepAttempts removes expired counters. If more than maxAccounts accounts have counters, it also removes the counters
// of the excess accounts, beginning with the first to expire. It counts the accounts through a reader, so that the
// count does not delay commits.
func (s *Store) SweepAttempts(ctx context.Context, now int64, maxAccounts, limit int) (int, error) {
	expired, err := s.deleteRows(ctx, `DELETE FROM failure_counter WHERE (account, address) IN
		(SELECT account, address FROM failure_counter WHERE forget <= ? LIMIT ?)`, now, int64(limit))
	if err != nil {
		return 0, err
	}
	accounts, err := read(ctx, s, func(conn *sqlite.Conn) (int64, error) {
		return queryOne(conn, "SELECT count(*) FROM failure_counter WHERE address = ''", nil, scanNumber)
	})
	excess := min(int(accounts)-maxAccounts, limit-expired)
	if err != nil || excess <= 0 {
		return expired, err
	}
	above, err := s.deleteRows(ctx, `DELETE FROM failure_counter WHERE (account, address) IN
		(SELECT account, address FROM failure_counter WHERE address = '' AND forget > ? ORDER BY forget LIMIT ?)`,
		now, int64(excess))
	return expired + above, err
}
