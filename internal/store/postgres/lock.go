package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// On an engine with advisory locks, every connection of a store holds a shared one. A store opened with
// Config.Exclusive holds the lock exclusively instead: it cannot get the lock while a node is connected, and no node
// can connect while it has the lock. Other engines use rows (rowlock.go).

// storeLock is the key of the advisory lock ("Pawm" in ASCII).
const storeLock = 0x5061776d

var (
	errLocked = errors.New("the database is being copied, or its sessions are being ended: retry when that is done")
	errInUse  = errors.New("a Pawl is connected to the database: stop all that use it first")
)

func lockShared(ctx context.Context, conn *pgx.Conn) error {
	return tryLock(ctx, conn, "pg_try_advisory_lock_shared", errLocked)
}

// lockExclusive takes the lock on a connection kept by the store. If a later statement on this connection succeeds, the
// lock was never lost.
func (s *Store) lockExclusive(ctx context.Context) error {
	conn, err := s.bulk.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	s.lockConn = conn
	err = retryWhile(ctx, errInUse, func() error {
		return s.rowLocks.note(tryLock(ctx, conn.Conn(), "pg_try_advisory_lock", errInUse))
	})
	switch {
	case err != nil:
		return err
	case s.citus != nil:
		return s.lockWorkers(ctx, conn.Conn())
	case s.rowLocks.needed.Load():
		version, err := schemaVersion(ctx, conn.Conn())
		if err != nil || version == 0 {
			return err // there is no row to lock yet, and no other store
		}
		return s.lockRows(ctx, true)
	}
	return nil
}

// lockWorkers takes the lock of each worker of Citus too, because a node may still be connected to a worker after it
// has lost its connection to the coordinator.
func (s *Store) lockWorkers(ctx context.Context, coordinator *pgx.Conn) error {
	const workers = "SELECT nodename, nodeport FROM pg_catalog.pg_dist_node WHERE groupid <> 0 AND noderole = 'primary'"
	addresses, err := collect(ctx, coordinator, scanAddress, workers)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		config, err := s.citus.configOf(address)
		if err != nil {
			return err
		}
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		s.workerLocks = append(s.workerLocks, conn)
		err = retryWhile(ctx, errInUse, func() error { return tryLock(ctx, conn, "pg_try_advisory_lock", errInUse) })
		if err != nil {
			return err
		}
	}
	return nil
}

// tryLock returns errTaken if the lock is taken.
func tryLock(ctx context.Context, conn *pgx.Conn, function string, errTaken error) error {
	var locked bool
	err := conn.QueryRow(ctx, fmt.Sprintf("SELECT %s(%d)", function, storeLock)).Scan(&locked)
	if err == nil && !locked {
		return errTaken
	}
	return err
}

// unlock releases the exclusive lock. The lock ends with its connection.
func (s *Store) unlock() {
	for _, conn := range s.workerLocks {
		conn.Close(context.Background())
	}
	if s.rowLocks.exclusive != nil {
		s.rowLocks.exclusive.Close(context.Background())
	}
	if s.lockConn != nil {
		s.lockConn.Conn().Close(context.Background())
		s.lockConn.Release()
	}
}

const (
	lockPatience = 2 * time.Second
	lockPause    = 20 * time.Millisecond
)

// retryWhile calls try again while it returns errTaken, because the server may take a moment to release the locks of a
// closed connection.
func retryWhile(ctx context.Context, errTaken error, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		err := try()
		if !errors.Is(err, errTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lockPause):
		}
	}
}

// withCopyConn runs op without a time limit, for a copy of the whole store. A store with the exclusive lock runs op on
// the connection of the lock, so that op fails if the lock was lost.
func withCopyConn[T any](ctx context.Context, s *Store, op func(context.Context, *pgx.Conn) (T, error)) (T, error) {
	conn := s.lockConn
	if conn == nil {
		pooled, err := s.bulk.pool.Acquire(ctx)
		if err != nil {
			var zero T
			return zero, explain(err)
		}
		defer pooled.Release()
		conn = pooled
	}
	for try := 1; ; try++ {
		result, err := op(ctx, conn.Conn())
		if err == nil && unconfirmed(conn.Conn()) {
			err = errUnconfirmed
		}
		if err == nil {
			err = s.rowLocks.stillLocked(ctx)
		}
		if !isConflict(err) || try == maxTries {
			return result, explain(err)
		}
	}
}
