package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// BeginAttempt counts a guess as failed unless it must wait. Those that must are
// found by a reader: a flood of them waits for no commit.
func (s *Store) BeginAttempt(ctx context.Context, g throttle.Attempt) (wait time.Duration, known bool, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		t, err := readTallies(conn, g)
		_, wait = t.Begin(g.At)
		return err
	})
	if err != nil || wait > 0 {
		return wait, false, err
	}
	var counted struct {
		wait  time.Duration
		known bool
	}
	err = s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		t, err := readTallies(conn, g)
		if err != nil {
			return err
		}
		var next throttle.Counters
		next, counted.wait = t.Begin(g.At)
		counted.known = next.Known != nil
		if counted.wait > 0 {
			return nil
		}
		if counted.known {
			return saveTally(conn, g.Account, g.Address, *next.Known)
		}
		return saveTallies(conn, g, next)
	}, nil)
	if err != nil {
		return 0, false, err // and counted may still be written to
	}
	return counted.wait, counted.known, nil
}

// ResolveAttempt brings the counts to what the outcome makes of them.
func (s *Store) ResolveAttempt(ctx context.Context, g throttle.Attempt, known bool, o throttle.Outcome) error {
	return s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		t, err := readTallies(conn, g)
		if err != nil {
			return err
		}
		return saveTallies(conn, g, t.Resolve(g.At, known, o))
	}, nil)
}

// readTallies reads the counts as they are in the rows.
func readTallies(conn *sqlite.Conn, g throttle.Attempt) (t throttle.Counters, err error) {
	stmt := conn.Prep(`SELECT account = ?1, address = ?2, failed, last, forget FROM failure_counter
		WHERE (account, address) IN (VALUES (?1, ?2), (?1, ''), (?3, ?2))`)
	bind(stmt, g.Account[:], g.Address, make([]byte, len(g.Account)))
	err = each(stmt, func() {
		row := throttle.Counter{Failures: stmt.ColumnInt64(2), LastFailure: stmt.ColumnInt64(3), Expires: stmt.ColumnInt64(4)}
		switch {
		case !stmt.ColumnBool(0):
			t.Address = row
		case !stmt.ColumnBool(1):
			t.Account = row
		case row.Expires > g.At:
			t.Known = &row
		}
	})
	return t, err
}

func saveTallies(conn *sqlite.Conn, g throttle.Attempt, t throttle.Counters) error {
	if err := saveTally(conn, throttle.AccountHash{}, g.Address, t.Address); err != nil {
		return err
	}
	if err := saveTally(conn, g.Account, "", t.Account); err != nil || t.Known == nil {
		return err
	}
	return saveTally(conn, g.Account, g.Address, *t.Known)
}

// saveTally writes a row; a count that is over has none, but a known address.
func saveTally(conn *sqlite.Conn, account throttle.AccountHash, address string, t throttle.Counter) error {
	known := account != throttle.AccountHash{} && address != ""
	if t.Failures == 0 && !known {
		stmt := conn.Prep("DELETE FROM failure_counter WHERE account = ? AND address = ?")
		bind(stmt, account[:], address)
		return each(stmt, func() {})
	}
	stmt := conn.Prep("INSERT OR REPLACE INTO failure_counter (account, address, failed, last, forget) VALUES (?, ?, ?, ?, ?)")
	bind(stmt, account[:], address, t.Failures, t.LastFailure, t.Expires)
	return each(stmt, func() {})
}

// ClearAttempts removes the counts of an account.
func (s *Store) ClearAttempts(ctx context.Context, account throttle.AccountHash) error {
	return s.write(ctx, func(conn *sqlite.Conn, _ *removed) error {
		stmt := conn.Prep("DELETE FROM failure_counter WHERE account = ? AND (address = '' OR failed > 0)")
		bind(stmt, account[:])
		return each(stmt, func() {})
	}, nil)
}

// SweepAttempts removes counts that are forgotten, and of accounts those above
// most. A reader counts them: nobody waits for that.
func (s *Store) SweepAttempts(ctx context.Context, now int64, most, limit int) (int, error) {
	forgotten, err := s.deleteSome(ctx, "DELETE FROM failure_counter WHERE (account, address) IN (SELECT account, address FROM failure_counter WHERE forget <= ? LIMIT ?)", now, limit)
	if err != nil {
		return 0, err
	}
	var accounts int
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT count(*) FROM failure_counter WHERE address = ''")
		return each(stmt, func() { accounts = stmt.ColumnInt(0) })
	})
	excess := min(accounts-most, limit-forgotten)
	if err != nil || excess <= 0 {
		return forgotten, err
	}
	above, err := s.deleteSome(ctx, `DELETE FROM failure_counter WHERE (account, address) IN
		(SELECT account, address FROM failure_counter WHERE address = '' AND forget > ? ORDER BY forget LIMIT ?)`, now, excess)
	return forgotten + above, err
}
