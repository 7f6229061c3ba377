// Package postgres is the store on PostgreSQL, for any number of nodes on one database.
//
// Every decision is made on a row and not on the state of a node, because another node may change the row at any time.
// As soon as a call returns, every node sees its effect.
//
// Refreshes and checks are the hot path. Those arriving together share one statement, and some connections are reserved
// for them: rotate.go has the path of a refresh, read.go that of a check, and standby.go keeps a failover from undoing
// an answer. Every other call waits for a bulk slot, and then runs one statement or one transaction with the functions
// of conn.go. An operation passed to one of these functions returns its result, and does not write to the variables of
// its caller.
//
// fence.go keeps a node from believing a primary that was replaced, with watch.go, lease.go and standbys.go.
//
// connect.go and dsn.go open the connections, lock.go excludes other stores while the whole database is copied, and
// schema.go runs the migrations. Where the engine has no advisory locks, rowlock.go and migrationlock.go use rows.
// publish.go and follow.go carry the changes to every node, and recent.go is for checks that accept a stale session.
// rows.go reads rows. Each of the other files implements one part of authority.Store, storecopy.Copier or
// userimport.Store.
package postgres

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/userimport"
)

// Config configures a Store. Only the DSN is required.
type Config struct {
	// DSN is a URL such as postgres://user:password@host1,host2/database. PGPASSFILE and the other PG* variables apply
	// too.
	DSN string
	// MustExist rejects a database without a Pawl schema. An older schema is migrated.
	MustExist bool
	// Exclusive rejects a database with another open store, and excludes other stores until Close.
	Exclusive bool
	// Staleness is the maximum age of the state returned by RecentSession. If it is 0, RecentSession reads the row.
	Staleness time.Duration
	// Feed receives what the commits of all nodes superseded or ended. It must be Remote. If nil, they are dropped.
	Feed *revocation.Feed
	// Metrics is optional.
	Metrics *metrics.Metrics
	// Log receives the migrations of the schema. If nil, they are discarded.
	Log *slog.Logger
	// PrimaryLog receives which standbys confirm a commit, and each change of the primary. If nil, they are discarded.
	PrimaryLog *slog.Logger

	pool        *pgxpool.Config // the parsed DSN, if the Config comes from ParseConfig
	locks       *rowLocks       // set by Open
	coordinator bool            // whether the pool connects to the coordinator of Citus
	opened      *atomic.Bool    // whether Open has returned; nil in a pool for a command
}

const (
	// batchSize is the maximum number of checks in one statement, and that of refreshes at the start.
	batchSize = 256
	// maxWrites is the maximum number of refreshes or replays in one statement. A batch waits for one flush of the
	// database's disk, so a disk with a slow flush needs large batches (docs/benchmarks.md).
	maxWrites = 2048
	// slowWrite is the time of a statement after which the next ones have fewer refreshes. It is far shorter than
	// hotTimeout, and bounds how long a batch locks its rows.
	slowWrite = 500 * time.Millisecond
	// rotators and readers are how many batches of each kind run at once. One batch gathers while the other one runs. A
	// higher number makes smaller batches, and those cost the database far more per call.
	rotators = 2
	readers  = 2
	// reservedConns is how many connections are reserved for refreshes, checks of sessions, checks of API keys, checks
	// of readiness, and polls.
	reservedConns = rotators + 2*readers + 1 + 1
)

// Store is an authority.Store on PostgreSQL.
type Store struct {
	hot         server // for refreshes and checks
	bulk        server // for every other call; the same as hot, except on Citus
	citus       *citus // nil without Citus
	noFeed      bool   // the engine does not have what the feed needs; see publish.go
	rowLocks    *rowLocks
	shards      atomic.Pointer[[]*shard] // ordered by first
	apiKeys     *batch.Group[lookup[authority.APIKeyHash, apiKeyWithUser]]
	ready       *batch.Group[lookup[struct{}, bool]]
	bulkSlots   chan struct{} // has a value for each other running call
	sweep       sweep
	purge       purge
	ended       chan struct{}    // see Ended
	recent      *recentSessions  // nil if every check reads the row
	feed        *revocation.Feed // may be nil
	log         *slog.Logger
	lockConn    *pgxpool.Conn // holds the exclusive lock; nil if the store shares its database
	workerLocks []*pgx.Conn   // hold the exclusive lock on the workers of Citus
	metrics     *metrics.Metrics
	node        int32 // the number of the node, which is random
	estimate    estimate

	stopBackground context.CancelFunc
	background     sync.WaitGroup
}

var (
	_ authority.Store  = (*Store)(nil)
	_ storecopy.Copier = (*Store)(nil)
	_ userimport.Store = (*Store)(nil)
)

// Open connects to the database, runs the migrations, and checks that all tables can be read. Its error states the
// problem and the remedy, and never contains the password.
func Open(ctx context.Context, c Config) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	node := int32(rand.Uint32())
	f := newFence(c.PrimaryLog)
	c.locks = new(rowLocks)
	c.opened = new(atomic.Bool)
	pool, err := newPool(ctx, c, node, f)
	if err != nil {
		return nil, err
	}
	watchers := newWatchers(pool.Config().ConnConfig)
	f.lookAtAll(ctx, watchers)
	s := &Store{
		node:      node,
		rowLocks:  c.locks,
		hot:       server{pool: pool, fence: f},
		bulk:      server{pool: pool, fence: f},
		bulkSlots: make(chan struct{}, max(1, pool.Config().MaxConns-reservedConns)),
		metrics:   c.Metrics,
		ended:     make(chan struct{}, 1),
		recent:    newRecentSessions(c.Staleness),
		feed:      c.Feed,
		log:       cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
	}
	s.shards.Store(new(s.newShards(make([]shardPlace, 1))))
	s.signalEnded() // sessions that ended before the start may remain
	if err := s.prepare(ctx, c); err != nil {
		s.unlock()
		s.closePools()
		for _, w := range watchers {
			w.close()
		}
		return nil, explainConnect(err)
	}
	s.apiKeys = batch.New(batchSize, readers, 0, readBatch(s, c.Metrics, readAPIKeys))
	s.ready = batch.New(batchSize, 1, 0, readBatch(s, nil, readReady))
	background, stop := context.WithCancel(context.Background())
	s.stopBackground = stop
	s.background.Go(func() { s.keepRow(background) })
	if s.citus != nil {
		for _, w := range watchers {
			w.close()
		}
		s.background.Go(func() { s.followLayout(background) })
	} else {
		for _, w := range watchers {
			s.background.Go(func() { s.watch(background, w) })
		}
		s.background.Go(func() { s.keepLease(background) })
	}
	if s.citus == nil && !s.noFeed {
		s.background.Go(func() { s.follow(background) })
		s.background.Go(func() { s.feed.KeepIssued(background, 0, s.saveIssued) })
	}
	c.Metrics.Register(metrics.Gauges{Sessions: s.SessionCount, Nodes: s.Nodes, Pool: pool.Stat})
	c.opened.Store(true)
	return s, nil
}

func (s *Store) prepare(ctx context.Context, c Config) error {
	err := retryWhile(ctx, errEarly, func() error {
		return retryWhile(ctx, errLocked, func() error { return s.hot.pool.Ping(ctx) })
	})
	if err != nil {
		return err
	}
	var encoding string
	if err := s.hot.pool.QueryRow(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the encoding of the database is %s, which cannot store every login: "+
			"create the database with ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	if err := s.useCitus(ctx, c); err != nil {
		return err
	}
	if err := s.probeFeed(ctx, c); err != nil {
		return err
	}
	all, timeline, err := runOnConn(ctx, s.hot, readStandbysOn)
	if err != nil {
		return err
	}
	if s.citus == nil && !s.hot.fence.isLower(timeline) {
		s.hot.fence.setStandbys(all)
	}
	if c.Exclusive { // before the migrations, which must not change the schema under another store
		if err := s.lockExclusive(ctx); err != nil {
			return err
		}
	}
	if err := s.migrate(ctx, c); err != nil {
		return err
	}
	if err := s.lockRows(ctx, c.Exclusive); err != nil {
		return err
	}
	tables := "users session session_purge api_key signing_key state failure_counter attempt used_assertion event " +
		"receiver"
	for table := range strings.FieldsSeq(tables) {
		if _, err := s.bulk.pool.Exec(ctx, "SELECT * FROM pawl."+table+" LIMIT 0"); err != nil {
			return err
		}
	}
	return nil
}

// Close waits for the running calls, and closes the connections.
func (s *Store) Close() error {
	for _, shard := range *s.shards.Load() {
		shard.close()
	}
	s.apiKeys.Close()
	s.ready.Close()
	s.stopBackground()
	s.background.Wait()
	s.unlock()
	s.closePools()
	return nil
}

func (s *Store) closePools() {
	if s.citus != nil {
		for _, worker := range s.citus.workers {
			worker.pool.Close()
		}
	}
	s.hot.pool.Close()
	if s.bulk.pool != s.hot.pool {
		s.bulk.pool.Close()
	}
}

// Ready returns nil if the database can be reached and written to.
func (s *Store) Ready(ctx context.Context) error {
	_, err := lookUp(ctx, s.ready, struct{}{})
	return err
}

// Ahead returns how far the clock of this machine is ahead of the database's. The duration of the query makes it less.
func (s *Store) Ahead(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	at, err := queryOne(ctx, s, pgx.RowTo[time.Time], "SELECT clock_timestamp()")
	return max(0, begun.Sub(at)), err
}
