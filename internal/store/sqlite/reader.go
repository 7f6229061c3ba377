package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

const readerCount = 4

// readers has the read-only connections that are free.
type readers chan *sqlite.Conn

func openReaders(path string) (readers, error) {
	r := make(readers, readerCount)
	for range readerCount {
		conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
		if err != nil {
			for len(r) > 0 {
				err = errors.Join(err, (<-r).Close())
			}
			return nil, err
		}
		r <- conn
	}
	return r, nil
}

// close waits for each connection and closes it.
func (r readers) close() error {
	var err error
	for range readerCount {
		err = errors.Join(err, (<-r).Close())
	}
	close(r)
	return err
}

// read runs f with a reader, and interrupts it if ctx ends.
func read[T any](ctx context.Context, s *Store, f func(*sqlite.Conn) (T, error)) (T, error) {
	return lookUp(ctx, s, func(conn *sqlite.Conn) (T, error) {
		conn.SetInterrupt(ctx.Done())
		defer conn.SetInterrupt(nil)
		return f(conn)
	})
}

// lookUp runs f with a reader, without an interrupt. It is for statements that find a row by its key, because setting
// up the interrupt would take longer than the statement.
func lookUp[T any](ctx context.Context, s *Store, f func(*sqlite.Conn) (T, error)) (T, error) {
	var zero T
	select {
	case conn, open := <-s.readers:
		if !open {
			return zero, fmt.Errorf("%w: the store is closed", fault.ErrUnavailable)
		}
		defer func() { s.readers <- conn }()
		result, err := f(conn)
		return result, s.failed(err)
	case <-ctx.Done():
		return zero, fmt.Errorf("%w: %w", fault.ErrUnavailable, ctx.Err())
	}
}

// list returns all rows of a query.
func list[T any](ctx context.Context, s *Store, sql string, a args, scan func(*sqlite.Stmt) T) ([]T, error) {
	return read(ctx, s, func(conn *sqlite.Conn) ([]T, error) { return queryAll(conn, sql, a, scan) })
}

// find returns the row with a key, or ErrNotFound.
func find[T any](ctx context.Context, s *Store, sql string, a args, scan func(*sqlite.Stmt) T) (T, error) {
	return lookUp(ctx, s, func(conn *sqlite.Conn) (T, error) { return queryOne(conn, sql, a, scan) })
}
