// Package postgres is the store on PostgreSQL, for many nodes on one database.
//
// A node keeps no state of its own that decides anything: what counts is the
// row. So what one node has done, every other node sees from the moment that
// the commit returned. Refreshes and checks of many callers at once share one
// statement each (see rotate.go and read.go).
package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// Config says how the store is reached.
type Config struct {
	// DSN is a URL such as postgres://user:password@host1,host2/database;
	// PGPASSFILE and the other PG* variables hold too.
	DSN string
	// MustExist refuses a database that has no schema of Pawl's yet.
	MustExist bool
	// Alone refuses a database that any other store is open on, and keeps all
	// others out until Close.
	Alone bool
	// Staleness is how old the state may be that a bearer is checked against.
	// With 0, each check reads the row.
	Staleness time.Duration
	Metrics   *metrics.Metrics // optional

	pool *pgxpool.Config // of the DSN, if ParseConfig made this Config
}

const (
	// batchSize is how many refreshes or checks share a statement at most.
	batchSize = 256
	// Few at once make large batches, which cost the database far less each;
	// with two, one gathers while the other commits.
	rotators = 2
	readers  = 2
	// kept is how many connections are kept for refreshes and checks (of
	// sessions, of keys, whether the store is ready) and for words to other
	// nodes, however many other calls there are.
	kept = rotators + 2*readers + 1 + 1
	// shortTimeout bounds one try of a refresh or a check: where there are
	// several hosts, there is time for the next one.
	shortTimeout = 2 * time.Second
	// stepTimeout bounds one try of all else.
	stepTimeout = 5 * time.Second
)

// Store is an authority.Store on PostgreSQL.
type Store struct {
	pool      *pgxpool.Pool
	rotations *batch.Group[rotation]
	sessions  *batch.Group[lookup[token.SessionID, authority.SessionWithUser]]
	keys      *batch.Group[lookup[authority.APIKeyHash, keyAndUser]]
	ready     *batch.Group[lookup[struct{}, bool]]
	others    chan struct{} // holds one for each call under way that is none of these
	sweep     sweeper
	recent    *recent       // nil if every check reads the row
	own       *pgxpool.Conn // keeps all others out; nil for a store of many
	observed

	stop       context.CancelFunc // ends the background work
	background sync.WaitGroup
}

var _ authority.Store = (*Store)(nil)

// Open connects, brings the schema to this version, and checks that all of it
// can be read. The error says what is wrong and what to do; it never has the
// password.
func Open(ctx context.Context, c Config) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	pool, err := newPool(ctx, c)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: pool, others: make(chan struct{}, max(1, pool.Config().MaxConns-kept)), observed: observed{metrics: c.Metrics}}
	if err := s.prepare(ctx, c); err != nil {
		s.release()
		pool.Close()
		return nil, explainConnect(err)
	}
	s.rotations = batch.New(batchSize, rotators, 0, s.rotateBatch)
	s.sessions = batch.New(batchSize, readers, 0, readBatch(s, c.Metrics, readSessions))
	s.keys = batch.New(batchSize, readers, 0, readBatch(s, c.Metrics, readKeys))
	s.ready = batch.New(batchSize, 1, 0, readBatch(s, nil, readReady))
	work, stop := context.WithCancel(context.Background())
	s.stop = stop
	if c.Staleness > 0 {
		s.recent = newRecent(c.Staleness)
		s.background.Go(func() { s.listen(work) })
		s.background.Go(func() { s.notify(work) })
	}
	c.Metrics.Register(metrics.Gauges{Sessions: s.SessionCount, Pool: pool.Stat})
	return s, nil
}

func (s *Store) prepare(ctx context.Context, c Config) error {
	if err := patiently(ctx, errMoving, func() error { return s.pool.Ping(ctx) }); err != nil {
		return err
	}
	if c.Alone { // before the schema is changed under those that are there
		if err := s.keepOthersOut(ctx); err != nil {
			return err
		}
	}
	if err := s.migrate(ctx, c.MustExist); err != nil {
		return err
	}
	for _, table := range []string{"users", "session", "api_key", "signing_key", "state", "failure_counter", "event"} {
		if _, err := s.pool.Exec(ctx, "SELECT * FROM pawl."+table+" LIMIT 0"); err != nil {
			return err
		}
	}
	return nil
}

// Close finishes the steps under way.
func (s *Store) Close() error {
	s.rotations.Close()
	s.sessions.Close()
	s.keys.Close()
	s.ready.Close()
	s.stop()
	s.background.Wait()
	s.release()
	s.pool.Close()
	return nil
}

// Ready returns nil if the database can be reached and written to.
func (s *Store) Ready(ctx context.Context) error {
	_, err := look(ctx, s.ready, struct{}{})
	return err
}
