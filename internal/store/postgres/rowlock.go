package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/clock"
)

// Some engines have no advisory locks, for example CockroachDB. There, rows take their place.
//
// A node has a row in pawl.node, which is valid for rowLife, and renews it every rowLife/3. An answer counts only while
// the row is valid. A store with the exclusive lock has locked the row "store" of pawl.lock in an open transaction, and
// has then seen no valid row of a node. A node renews its row only while "store" is not locked. So the two exclude each
// other as they do with an advisory lock, except that the row of a killed node stays valid for up to rowLife.

// rowLocks are the rows in place of advisory locks.
type rowLocks struct {
	needed    atomic.Bool // the engine has no advisory locks
	mu        sync.Mutex  // guards renewed
	renewed   time.Time   // before the last renewal
	exclusive *pgx.Conn   // has the transaction with the exclusive lock, or nil
}

const (
	rowLife    = 15 * time.Second
	rowLifeSQL = "15 seconds"
)

const codeLockNotAvailable = "55P03"

var errNodeRow = errors.New("the row of this node in pawl.node was not renewed in time: " +
	"another store may have the database for itself")

// isUnsupported reports whether the engine does not have a function, a type or a statement.
func isUnsupported(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(unsupportedCodes, refused.Code)
}

var unsupportedCodes = []string{codeUndefinedFunction, codeUndefinedObject, codeNotSupported}

// note returns the error of taking an advisory lock. It takes note of an engine that has none, and returns nil then.
func (l *rowLocks) note(err error) error {
	if isUnsupported(err) {
		l.needed.Store(true)
		return nil
	}
	return err
}

// valid returns nil unless this node needs a valid row and has none.
func (l *rowLocks) valid() error {
	if !l.needed.Load() || l.exclusive != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.renewed.IsZero() && clock.Elapsed(l.renewed, time.Now()) > rowLife {
		return errNodeRow
	}
	return nil
}

// lockRows takes the exclusive lock, or writes the row of this node.
func (s *Store) lockRows(ctx context.Context, exclusive bool) error {
	if !s.rowLocks.needed.Load() || s.rowLocks.exclusive != nil {
		return nil
	}
	if !exclusive {
		return retryWhile(ctx, errLocked, func() error { return s.renewRow(ctx) })
	}
	conn, err := s.openLockConn(ctx)
	if err != nil {
		return err
	}
	s.rowLocks.exclusive = conn
	return retryWhile(ctx, errInUse, func() error { return lockStoreRow(ctx, conn) })
}

// openLockConn opens a connection of its own, which keeps a transaction open for any time.
func (s *Store) openLockConn(ctx context.Context) (*pgx.Conn, error) {
	pooled, err := s.bulk.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := pooled.Hijack()
	for _, name := range []string{"idle_in_transaction_session_timeout", "lock_timeout"} {
		const sql = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = $1"
		if _, err := conn.Exec(ctx, sql, name); err != nil {
			conn.Close(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	return conn, nil
}

// lockStoreRow begins a transaction that locks the row "store", and returns errInUse if a node has a valid row.
func lockStoreRow(ctx context.Context, conn *pgx.Conn) error {
	const (
		lock  = "SELECT name FROM pawl.lock WHERE name = 'store' FOR UPDATE NOWAIT"
		nodes = "SELECT EXISTS (SELECT 1 FROM pawl.node WHERE until > clock_timestamp())"
	)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	var used bool
	if _, err = tx.Exec(ctx, lock); err == nil {
		err = tx.QueryRow(ctx, nodes).Scan(&used)
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeLockNotAvailable || used {
		err = errInUse
	}
	if err != nil {
		_ = tx.Rollback(ctx) // err is the cause
	}
	return err
}

// renewRow renews the row of this node. It returns errLocked if another store has the exclusive lock.
func (s *Store) renewRow(ctx context.Context) error {
	const (
		lock  = "SELECT name FROM pawl.lock WHERE name = 'store' FOR SHARE NOWAIT"
		renew = "INSERT INTO pawl.node (number, until) VALUES ($1, clock_timestamp() + interval '" + rowLifeSQL + "')" +
			" ON CONFLICT (number) DO UPDATE SET until = excluded.until"
	)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, hotTimeout)
	defer cancel()
	// Not withTx, which fails while the row is not valid.
	_, _, err := runOnConn(ctx, s.bulk, func(ctx context.Context, conn *pgx.Conn) (none, error) {
		return none{}, pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lock); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, renew, s.node)
			return err
		})
	})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeLockNotAvailable {
		return errLocked
	}
	if err == nil {
		s.rowLocks.mu.Lock()
		s.rowLocks.renewed = begun
		s.rowLocks.mu.Unlock()
	}
	return err
}

// keepRow renews the row of this node until ctx ends, and then removes it.
func (s *Store) keepRow(ctx context.Context) {
	if !s.rowLocks.needed.Load() || s.rowLocks.exclusive != nil {
		return
	}
	ticker := time.NewTicker(rowLife / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hotTimeout)
			defer cancel()
			// An error leaves the row for rowLife. Rows of killed nodes are removed too.
			_, _ = s.exec(ctx, "DELETE FROM pawl.node WHERE number = $1 OR until < clock_timestamp()", s.node)
			return
		case <-ticker.C:
			if err := s.renewRow(ctx); err != nil {
				s.log.WarnContext(ctx, "the row of this node was not renewed", "err", explain(err))
			}
		}
	}
}

// stillLocked returns an error if the exclusive lock was lost.
func (l *rowLocks) stillLocked(ctx context.Context) error {
	if l == nil || l.exclusive == nil {
		return nil
	}
	_, err := l.exclusive.Exec(ctx, "SELECT 1")
	return err
}
