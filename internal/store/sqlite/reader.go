package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// readers has the read-only connections. Lookups of rows by their keys have their own connections, so that the check of
// a session never waits for a long query.
type readers struct {
	lookups connPool
	queries connPool
}

const (
	maxLookups = 2
	maxQueries = 4
)

// connPool has the free connections.
type connPool chan *sqlite.Conn

func openReaders(path string) (readers, error) {
	r := readers{lookups: make(connPool, maxLookups), queries: make(connPool, maxQueries)}
	if err := r.lookups.fill(path); err != nil {
		return r, err
	}
	if err := r.queries.fill(path); err != nil {
		return r, errors.Join(err, r.lookups.close())
	}
	return r, nil
}

func (r readers) close() error { return errors.Join(r.lookups.close(), r.queries.close()) }

// fill opens the connections of a pool. If one cannot be opened, the others are closed.
func (p connPool) fill(path string) error {
	for range cap(p) {
		conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
		if err != nil {
			for len(p) > 0 {
				err = errors.Join(err, (<-p).Close())
			}
			return err
		}
		p <- conn
	}
	return nil
}

// close waits for each connection and closes it.
func (p connPool) close() error {
	var err error
	for range cap(p) {
		err = errors.Join(err, (<-p).Close())
	}
	close(p)
	return err
}

// withConn runs f with a connection of a pool.
func withConn[T any](ctx context.Context, s *Store, p connPool, f func(*sqlite.Conn) (T, error)) (T, error) {
	var none T
	select {
	case conn, open := <-p:
		if !open {
			return none, fmt.Errorf("%w: the store is closed", fault.ErrUnavailable)
		}
		defer func() { p <- conn }()
		result, err := f(conn)
		return result, s.failed(err)
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", fault.ErrUnavailable, ctx.Err())
	}
}

// read runs a query that may take long. It interrupts the query if ctx ends.
func read[T any](ctx context.Context, s *Store, f func(*sqlite.Conn) (T, error)) (T, error) {
	return withConn(ctx, s, s.readers.queries, func(conn *sqlite.Conn) (T, error) {
		conn.SetInterrupt(ctx.Done())
		defer conn.SetInterrupt(nil)
		return f(conn)
	})
}

// lookUp runs a query for rows by their keys, without an interrupt: setting up the interrupt would take longer than the
// query.
func lookUp[T any](ctx context.Context, s *Store, f func(*sqlite.Conn) (T, error)) (T, error) {
	return withConn(ctx, s, s.readers.lookups, f)
}

// list returns all rows of a query.
func list[T any](ctx context.Context, s *Store, sql string, a args, scan func(*sqlite.Stmt) T) ([]T, error) {
	return read(ctx, s, func(conn *sqlite.Conn) ([]T, error) { return queryAll(conn, sql, a, scan) })
}

// find returns the row with a key, or ErrNotFound.
func find[T any](ctx context.Context, s *Store, sql string, a args, scan func(*sqlite.Stmt) T) (T, error) {
	return lookUp(ctx, s, func(conn *sqlite.Conn) (T, error) { return queryOne(conn, sql, a, scan) })
}
