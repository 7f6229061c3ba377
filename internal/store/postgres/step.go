package postgres

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// on runs f on a connection as connected does, and says if it failed.
func (s *Store) on(ctx context.Context, limit time.Duration, f func(context.Context, *pgx.Conn) error) error {
	err := s.connected(ctx, limit, f)
	s.failed(explain(err))
	return err
}

// connected runs f on a connection, for as long as limit, also when the caller goes
// away meanwhile: a connection that is broken off in a step has to be made
// anew. f does all that it does before it returns.
func (s *Store) connected(ctx context.Context, limit time.Duration, f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer pooled.Release()
	conn := pooled.Conn()
	err = cmp.Or(f(ctx, conn), warning(conn))
	if warning(conn) != nil {
		conn.Close(ctx)
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); conn.IsClosed() || ok && refused.Code == codeReadOnly {
		s.pool.Reset() // the server has gone, or is no primary any more: the pool looks for the one that is
	}
	return err
}

// onOther is on for what is neither a refresh nor a check. It waits for its
// turn, so that these find a connection however much else there is to do.
func (s *Store) onOther(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	waiting, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	select {
	case s.others <- struct{}{}:
		defer func() { <-s.others }()
	case <-waiting.Done():
		return waiting.Err()
	}
	return s.on(ctx, stepTimeout, f)
}

// tx runs f in a transaction, again if another node's was in the way. After a
// COMMIT whose answer was lost the error is ErrUnavailable, and the step may
// have happened.
func (s *Store) tx(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	const tries = 5
	for try := 1; ; try++ {
		err := s.onOther(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return f(ctx, tx) })
		})
		if !isConflict(err) || try == tries {
			return explain(err)
		}
	}
}

// query runs one statement outside a transaction of ours and calls row for
// each row of its answer.
func (s *Store) query(ctx context.Context, sql string, args []any, row func(pgx.Rows) error) error {
	return explain(s.onOther(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		return each(rows, err, row)
	}))
}

// queryOne is query for an answer of one row; none is ErrNotFound.
func (s *Store) queryOne(ctx context.Context, sql string, args []any, row func(pgx.Rows) error) error {
	found := false
	err := s.query(ctx, sql, args, func(rows pgx.Rows) error { found = true; return row(rows) })
	if err == nil && !found {
		err = fault.ErrNotFound
	}
	return err
}

// exec runs one statement outside a transaction of ours.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = s.onOther(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		tag, err = conn.Exec(ctx, sql, args...)
		return err
	})
	return tag, explain(err)
}

// each calls row for each row and closes the rows.
func each(rows pgx.Rows, err error, row func(pgx.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
