package postgres

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

const (
	// hotTimeout bounds one try of a refresh or a check, to leave time for the next of several hosts.
	hotTimeout = 2 * time.Second
	// bulkTimeout bounds one try of every other call.
	bulkTimeout = 5 * time.Second
	// maxTries is how often a bulk call runs if other transactions conflict with it.
	maxTries = 5
)

// server is a server of the database, and what the store has seen of it.
type server struct {
	pool  *pgxpool.Pool
	fence *fence
}

// withConn runs op on a connection for refreshes and checks.
func withConn[T any](
	ctx context.Context, s *Store, timeout time.Duration, op func(context.Context, *pgx.Conn) (T, error),
) (T, error) {
	return withConnAt(ctx, s, s.hot, timeout, op)
}

// withConnAt is withConn at the server of a shard.
func withConnAt[T any](
	ctx context.Context, s *Store, at server, timeout time.Duration, op func(context.Context, *pgx.Conn) (T, error),
) (T, error) {
	result, err := withServer(ctx, s, at, timeout, op)
	if err != nil {
		s.citus.lookAgain()
	}
	return result, err
}

// withServer runs op on a pooled connection and returns its result once the fence permits it, or the zero value if
// there is an error. The caller's cancellation does not reach op, because pgx would close the connection, and a new one
// costs far more than op.
func withServer[T any](
	ctx context.Context, s *Store, at server, timeout time.Duration, op func(context.Context, *pgx.Conn) (T, error),
) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	result, timeline, err := runOnConn(ctx, at, op)
	if err == nil {
		err = at.fence.hold(ctx, timeline) // after the connection was released, because a renewal needs one
		if err != nil {
			at.pool.Reset()
		}
	}
	if err == nil {
		err = s.rowLocks.valid()
	}
	if err != nil {
		s.countError(err)
		var zero T
		return zero, err
	}
	return result, nil
}

// runOnConn runs op on a pooled connection, and also returns the timeline of the connection. The server may be a
// primary that was replaced.
func runOnConn[T any](
	ctx context.Context, at server, op func(context.Context, *pgx.Conn) (T, error),
) (result T, timeline uint32, err error) {
	pooled, err := at.pool.Acquire(ctx)
	if err != nil {
		return result, 0, err
	}
	defer pooled.Release()
	conn := pooled.Conn()
	result, err = op(ctx, conn)
	if unconfirmed(conn) {
		err = cmp.Or(err, errUnconfirmed)
		conn.Close(ctx)
	}
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if conn.IsClosed() || ok && refused.Code == codeReadOnly {
		at.pool.Reset() // the server is unreachable or no longer the primary: let the pool connect to the new primary
	}
	return result, timelineOf(conn), err
}

// withBulkConn is withConn for every call other than a refresh or a check. It waits for a bulk slot first, so that
// refreshes and checks find a free connection however many other calls there are. If another transaction conflicts with
// op, PostgreSQL has rolled op back, and withBulkConn runs it again.
func withBulkConn[T any](ctx context.Context, s *Store, op func(context.Context, *pgx.Conn) (T, error)) (T, error) {
	waiting, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	select {
	case s.bulkSlots <- struct{}{}:
		defer func() { <-s.bulkSlots }()
	case <-waiting.Done():
		var zero T
		return zero, explain(waiting.Err())
	}
	for try := 1; ; try++ {
		result, err := withServer(ctx, s, s.bulk, bulkTimeout, op)
		if !isConflict(err) || try == maxTries {
			return result, explain(err)
		}
	}
}

// withTx runs op in a transaction and returns its result. If the answer to COMMIT was lost, the error is ErrUnavailable
// although the transaction may have been committed.
func withTx[T any](ctx context.Context, s *Store, op func(context.Context, pgx.Tx) (T, error)) (T, error) {
	return withBulkConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) (result T, err error) {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return result, err
		}
		result, err = op(ctx, tx)
		if err != nil {
			_ = tx.Rollback(ctx) // op's error is the cause
			return result, err
		}
		return result, tx.Commit(ctx)
	})
}

// query runs one statement outside a transaction and returns a value for each row.
func query[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	return withBulkConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]T, error) {
		return collect(ctx, conn, scan, sql, args...)
	})
}

// queryOne is query for a single row. If there is no row, the error is ErrNotFound.
func queryOne[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	return withBulkConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) (T, error) {
		return collectOne(ctx, conn, scan, sql, args...)
	})
}

// exec runs one statement outside a transaction.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return withBulkConn(ctx, s, func(ctx context.Context, conn *pgx.Conn) (pgconn.CommandTag, error) {
		return conn.Exec(ctx, sql, args...)
	})
}

// none is the result of an operation returning only an error.
type none = struct{}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// collect runs a statement and returns a value for each row.
func collect[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// collectOne is collect for a single row. If there is no row, the error is pgx.ErrNoRows.
func collectOne[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	return pgx.CollectOneRow(rows, scan)
}

// collectMap runs a statement and returns its rows by key. It expects size rows at most.
func collectMap[K comparable, V any](
	ctx context.Context, q querier, size int, scan func(pgx.CollectableRow) (K, V, error), sql string, args ...any,
) (map[K]V, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return toMap(rows, size, scan)
}

// toMap returns the rows of a statement by key, and closes them.
func toMap[K comparable, V any](
	rows pgx.Rows, size int, scan func(pgx.CollectableRow) (K, V, error),
) (map[K]V, error) {
	defer rows.Close()
	found := make(map[K]V, size)
	for rows.Next() {
		key, value, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found[key] = value
	}
	return found, rows.Err()
}

// requireRow returns ErrNotFound if a statement affected no row.
func requireRow(tag pgconn.CommandTag, err error) error {
	if err == nil && tag.RowsAffected() == 0 {
		return fault.ErrNotFound
	}
	return err
}
