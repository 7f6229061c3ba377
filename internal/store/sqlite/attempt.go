package sqlite

import (
	"context"
	"maps"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// reservations has the attempts in progress. They are in memory alone, because no other process uses the store. So they
// end with the process.
type reservations struct {
	mu   sync.Mutex // guards live
	live map[throttle.AttemptID]reservation
}

type reservation struct {
	throttle.Attempt
	known bool
}

// BeginAttempt reserves an attempt, unless it has to wait. It holds the lock while it reads the counters. Concurrent
// attempts are therefore reserved one after the other, and a failure that is committed meanwhile still has its
// reservation: it counts twice instead of not at all.
func (s *Store) BeginAttempt(ctx context.Context, a throttle.Attempt) (wait time.Duration, known bool, err error) {
	r := &s.reservations
	r.mu.Lock()
	defer r.mu.Unlock()
	counters, err := lookUp(ctx, s, func(conn *sqlite.Conn) (throttle.Counters, error) {
		return readCounters(conn, a)
	})
	if err != nil {
		return 0, false, err
	}
	for _, other := range r.live {
		counters.Reserve(a, other.Attempt, other.known)
	}
	known = counters.Known != nil
	if wait := counters.Wait(a.At); wait > 0 {
		return wait, known, nil
	}
	r.live[a.ID] = reservation{Attempt: a, known: known}
	return 0, known, nil
}

// ResolveAttempt updates the counters once the outcome of an attempt is known.
func (s *Store) ResolveAttempt(ctx context.Context, a throttle.Attempt, known bool, o throttle.Outcome) error {
	if o != throttle.Unchecked {
		err := s.write(ctx, normal, func(c *change) error {
			counters, err := readCounters(c.conn, a)
			if err != nil {
				return err
			}
			return saveCounters(c.conn, a, counters.Resolve(a.At, known, o))
		})
		if err != nil {
			return err
		}
	}
	s.reservations.end(func(r reservation) bool { return r.ID == a.ID })
	return nil
}

// end ends the reservations for which ended returns true.
func (r *reservations) end(ended func(reservation) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.live, func(_ throttle.AttemptID, other reservation) bool { return ended(other) })
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

// clearAttempts removes the counters and reservations of an account; nil is a no-op. It keeps the row of a known
// address without failures, so that the address stays known.
func (c *change) clearAttempts(account *throttle.AccountHash) error {
	if account == nil {
		return nil
	}
	c.clearedAccount = account
	return execute(c.conn, "DELETE FROM failure_counter WHERE account = ? AND (address = '' OR failed > 0)", account[:])
}

// SweepAttempts removes expired counters. If more than maxAccounts accounts have counters, it also removes the counters
// of the excess accounts, beginning with the first to expire. It counts the accounts through a reader, so that the
// count does not delay commits.
func (s *Store) SweepAttempts(ctx context.Context, now int64, maxAccounts, limit int) (int, error) {
	s.reservations.end(func(r reservation) bool { return r.Ended(now) })
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
