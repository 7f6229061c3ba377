// Package postgres is the store on PostgreSQL, for many nodes on one database.
//
// A node keeps no state of its own that decides anything: what counts is the
// row. So what one node has done, every other node sees from the moment that
// the commit returned. Refreshes and checks of many callers at once share one
// statement each (see rotate.go and read.go).
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/token"
)

// Config says how the store is reached.
type Config struct {
	// DSN is a URL such as postgres://user:password@host1,host2/database;
	// PGPASSFILE and the other PG* variables hold too.
	DSN string
	// MustExist refuses a database that has no schema of Pawl's yet.
	MustExist bool
	// Staleness is how old the state may be that a bearer is checked against.
	// With 0, each check reads the row.
	Staleness time.Duration
	Hooks     Hooks
}

const (
	// batchSize is how many refreshes or checks share a statement at most.
	batchSize = 256
	// Few at once make large batches, which cost the database far less each;
	// with two, one gathers while the other commits.
	rotators = 2
	readers  = 2
	// stepTimeout bounds one try of a statement or a transaction: a connection
	// that hangs is given up after it.
	stepTimeout = 5 * time.Second
)

// Store is an authority.Store on PostgreSQL.
type Store struct {
	pool      *pgxpool.Pool
	rotations *batch.Group[rotation]
	sessions  *batch.Group[lookup[token.SessionID, authority.Live]]
	keys      *batch.Group[lookup[authority.KeyHash, keyAndUser]]
	sweep     sweeper
	recent    *recent // nil if every check reads the row
	observed

	stop       context.CancelFunc // ends the background work
	background sync.WaitGroup
}

var _ authority.Store = (*Store)(nil)

// Open connects, brings the schema to this version, and checks that all of it
// can be read. The error says what is wrong and what to do; it never has the
// password.
func Open(ctx context.Context, c Config) (*Store, error) {
	config, err := poolConfig(c.DSN)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("the store's address cannot be used: %w", err)
	}
	s := &Store{pool: pool, observed: observed{hooks: c.Hooks}}
	if err := s.prepare(ctx, c.MustExist); err != nil {
		pool.Close()
		return nil, explainConnect(err)
	}
	s.rotations = batch.New(batchSize, rotators, 0, batch.Observed(s.rotateBatch, c.Hooks.Committed))
	s.sessions = batch.New(batchSize, readers, 0, batch.Observed(readBatch(s, readSessions), c.Hooks.Read))
	s.keys = batch.New(batchSize, readers, 0, batch.Observed(readBatch(s, readKeys), c.Hooks.Read))
	work, stop := context.WithCancel(context.Background())
	s.stop = stop
	if c.Staleness > 0 {
		s.recent = newRecent(c.Staleness)
		s.background.Go(func() { s.listen(work) })
		s.background.Go(func() { s.notify(work) })
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context, mustExist bool) error {
	if err := s.pool.Ping(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx, mustExist); err != nil {
		return err
	}
	for _, table := range []string{"users", "session", "api_key", "signing_key", "state", "guess", "event"} {
		if _, err := s.pool.Exec(ctx, "SELECT * FROM pawl."+table+" LIMIT 0"); err != nil {
			return needsRights(err)
		}
	}
	return nil
}

// Close finishes the steps under way.
func (s *Store) Close() error {
	s.rotations.Close()
	s.sessions.Close()
	s.keys.Close()
	s.stop()
	s.background.Wait()
	s.pool.Close()
	return nil
}

// Ready returns nil if the database can be reached and written to.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var readOnly bool
	err := s.pool.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean").Scan(&readOnly)
	if err == nil && readOnly {
		s.pool.Reset()
		err = errors.New("the database has become read-only")
	}
	return explain(err)
}

// tx runs f in a transaction, again if another node's was in the way. After a
// COMMIT whose answer was lost the error is ErrUnavailable, and the step may
// have happened.
func (s *Store) tx(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	const tries = 5
	for try := 1; ; try++ {
		err := s.tryTx(ctx, f)
		if !isConflict(err) || try == tries {
			return s.failed(err)
		}
	}
}

func (s *Store) tryTx(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return f(ctx, tx) })
}

// query runs one statement outside a transaction of ours and calls row for
// each row of its answer.
func (s *Store) query(ctx context.Context, sql string, args []any, row func(pgx.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql, args...)
	return s.failed(each(rows, err, row))
}

// queryOne is query for an answer of one row; none is ErrNotFound.
func (s *Store) queryOne(ctx context.Context, sql string, args []any, row func(pgx.Rows) error) error {
	found := false
	err := s.query(ctx, sql, args, func(rows pgx.Rows) error { found = true; return row(rows) })
	if err == nil && !found {
		err = authority.ErrNotFound
	}
	return err
}

// failed explains an error, and drops connections to a server that turned
// read-only: the pool then looks for the one that can be written to.
func (s *Store) failed(err error) error {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == codeReadOnly {
		s.pool.Reset()
	}
	err = explain(err)
	s.hooks.failed(err)
	return err
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
