package postgres

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pawlauth/pawl/internal/token"
)

// On Citus the sessions are in shards on the workers, by their ids. Users and API keys are reference tables: each
// server has a copy. Every other table is on the coordinator alone. "pawl store distribute" sets this up
// (distribute.go).
//
// Refreshes and checks run at the workers, because one coordinator could not plan more of them than one PostgreSQL can
// execute. The server of the address, the entrance, may be any worker. Every other call runs at the coordinator. So all
// ids come from the sequences of the coordinator, and its locks are those of all nodes. While the coordinator is
// unreachable, sessions are refreshed and checked, but sign-ins and sign-outs fail.
//
// The fence of the entrance is off: it could not see the primary of another worker that was replaced.

// citus is what a store on Citus has in addition. A nil *citus is a store that is not distributed.
type citus struct {
	dsn         string // of the entrance
	coordinator atomic.Pointer[pgx.ConnConfig]
	changed     chan struct{} // asks for a look at the layout; holds at most one value
	open        func(address string) (server, error)

	// The fields below are used while the store opens, and then by followLayout alone.
	workers   map[string]server // by address; those that were reached
	unchecked bool              // whether the settings of a server are wrong or could not be read
}

// layout is where Citus keeps the sessions.
type layout struct {
	shards      []shardPlace // in order; empty if the sessions are not distributed
	coordinator string       // HOST:PORT
}

const (
	// layoutEvery is the longest time until a node notices that shards were split, or the coordinator moved.
	layoutEvery = 10 * time.Second
	// layoutPause is the shortest time between two looks.
	layoutPause = 100 * time.Millisecond
)

var (
	errNoCoordinator = errors.New("the coordinator of Citus has no address: " +
		"run SELECT citus_set_coordinator_host(...) on the coordinator")
	errStaleOnCitus = errors.New("verify-staleness needs the feed of changes, which does not work on Citus: " +
		"set it to 0")
)

// readLayout returns the layout of a database, and the zero layout if its sessions are not distributed.
func readLayout(ctx context.Context, conn *pgx.Conn) (l layout, err error) {
	const (
		installed = "SELECT to_regclass('pg_catalog.pg_dist_shard') IS NOT NULL" +
			" AND to_regclass('pawl.session') IS NOT NULL"
		shards = `SELECT s.shardminvalue::integer, s.shardid, coalesce((SELECT shardid FROM pg_catalog.pg_dist_shard
				WHERE logicalrelid = 'pawl.users'::regclass), 0), n.nodename, n.nodeport FROM pg_catalog.pg_dist_shard s
			JOIN pg_catalog.pg_dist_placement p ON p.shardid = s.shardid
			JOIN pg_catalog.pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
			WHERE s.logicalrelid = 'pawl.session'::regclass AND s.shardminvalue IS NOT NULL ORDER BY 1`
		address = "SELECT nodename, nodeport FROM pg_catalog.pg_dist_node WHERE groupid = 0 AND noderole = 'primary'"
	)
	var found bool
	if err := conn.QueryRow(ctx, installed).Scan(&found); err != nil || !found {
		return l, err
	}
	if l.shards, err = collect(ctx, conn, scanPlace, shards); err != nil || len(l.shards) == 0 {
		return l, err
	}
	l.coordinator, err = collectOne(ctx, conn, scanAddress, address)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoCoordinator
	}
	return l, err
}

func scanPlace(row pgx.CollectableRow) (p shardPlace, err error) {
	var host string
	var port int
	err = row.Scan(&p.first, &p.shard, &p.users, &host, &port)
	p.worker = net.JoinHostPort(host, strconv.Itoa(port))
	return p, err
}

func scanAddress(row pgx.CollectableRow) (string, error) {
	var host string
	var port int
	err := row.Scan(&host, &port)
	return net.JoinHostPort(host, strconv.Itoa(port)), err
}

// configOf returns the configuration of a connection to another server of the cluster.
func (c *citus) configOf(address string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(c.dsn)
	if err != nil {
		return nil, errDSN
	}
	query := u.Query()
	for _, name := range []string{"host", "hostaddr", "port", "target_session_attrs"} {
		query.Del(name)
	}
	u.Host = address
	u.RawQuery = query.Encode()
	pool, err := parseDSN(u.String())
	if err != nil {
		return nil, err
	}
	return pool.ConnConfig, nil
}

// newBulkPool opens a pool for a command. On Citus it connects to the coordinator, whichever server the address names.
func newBulkPool(ctx context.Context, c Config) (*pgxpool.Pool, layout, error) {
	pool, err := newPool(ctx, c, 0, nil)
	if err != nil {
		return nil, layout{}, err
	}
	l, err := readPoolLayout(ctx, pool)
	if err != nil || len(l.shards) == 0 {
		return pool, l, err
	}
	pool.Close()
	config, err := (&citus{dsn: c.DSN}).configOf(l.coordinator)
	if err != nil {
		return nil, l, err
	}
	c.pool = pool.Config()
	c.pool.ConnConfig = config
	pool, err = newPool(ctx, c, 0, nil)
	return pool, l, err
}

func readPoolLayout(ctx context.Context, pool *pgxpool.Pool) (l layout, err error) {
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		l, err = readLayout(ctx, conn.Conn())
		return err
	})
	if err != nil {
		pool.Close()
	}
	return l, explainConnect(err)
}

// useCitus opens the connections to the coordinator if the sessions are distributed.
func (s *Store) useCitus(ctx context.Context, c Config) error {
	l, _, err := runOnConn(ctx, s.hot, readLayout)
	if err != nil || len(l.shards) == 0 {
		return err
	}
	if c.Staleness > 0 {
		return errStaleOnCitus
	}
	s.citus = &citus{dsn: c.DSN, changed: make(chan struct{}, 1), workers: map[string]server{}}
	config, err := s.citus.configOf(l.coordinator)
	if err != nil {
		return err
	}
	s.citus.coordinator.Store(config)
	fence := newFence(c.PrimaryLog)
	ofCoordinator := c
	ofCoordinator.coordinator = true
	ofCoordinator.pool = s.hot.pool.Config()
	ofCoordinator.pool.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		*config = *s.citus.coordinator.Load().Copy()
		config.ValidateConnect = fence.validate
		return nil
	}
	pool, err := newPool(ctx, ofCoordinator, s.node, fence)
	if err != nil {
		return err
	}
	s.citus.open = s.workerOpener(c)
	s.hot.fence.turnOff()
	s.bulk = server{pool: pool, fence: fence}
	s.bulkSlots = make(chan struct{}, pool.Config().MaxConns)
	s.openWorkers(l.shards)
	s.shards.Store(new(s.newShards(l.shards)))
	s.feed.Refuse()
	if err := retryWhile(ctx, errLocked, func() error { return pool.Ping(ctx) }); err != nil {
		return err
	}
	return s.checkCitus(ctx)
}

// lookAgain asks for a look at the layout, because a statement has failed.
func (c *citus) lookAgain() {
	if c == nil {
		return
	}
	select {
	case c.changed <- struct{}{}:
	default: // a look is due already
	}
}

// followLayout follows the layout until ctx ends.
func (s *Store) followLayout(ctx context.Context) {
	ticker := time.NewTicker(layoutEvery)
	defer ticker.Stop()
	for {
		retry := false
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			retry = true
		case <-s.citus.changed:
		}
		looking, cancel := context.WithTimeout(ctx, hotTimeout)
		l, _, err := runOnConn(looking, s.hot, readLayout)
		cancel()
		if err == nil && len(l.shards) > 0 {
			err = s.adopt(ctx, l, retry)
		}
		if err != nil {
			s.log.WarnContext(ctx, "a look at the servers of Citus has failed", "err", explain(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(layoutPause):
		}
	}
}

// adopt adopts a layout. The batches of the earlier shards complete first. If retry is true, adopt also tries the
// workers that could not be reached, and checks the servers that could not be checked.
func (s *Store) adopt(ctx context.Context, l layout, retry bool) error {
	before := *s.shards.Load()
	changed := !slices.EqualFunc(before, l.shards, func(s *shard, p shardPlace) bool { return s.shardPlace == p })
	reached := (changed || retry) && s.openWorkers(l.shards)
	if changed || reached {
		s.shards.Store(new(s.newShards(l.shards)))
		for _, shard := range before {
			shard.close()
		}
		s.closeWorkers(l.shards)
	}
	if changed {
		s.log.Info("the sessions are in other shards now", "shards", len(l.shards), "before", len(before))
	}
	if err := s.followCoordinator(l.coordinator); err != nil {
		return err
	}
	if changed || reached || retry && s.citus.unchecked {
		return s.checkCitus(ctx)
	}
	return nil
}

// followCoordinator makes new connections to the coordinator use its present address.
func (s *Store) followCoordinator(address string) error {
	current := s.citus.coordinator.Load()
	if address == net.JoinHostPort(current.Host, strconv.Itoa(int(current.Port))) {
		return nil
	}
	config, err := s.citus.configOf(address)
	if err != nil {
		return err
	}
	s.citus.coordinator.Store(config)
	s.bulk.pool.Reset()
	s.log.Info("the coordinator of Citus has another address now", "address", address)
	return nil
}

// idOfEach returns an id of each shard. The sessions with these ids do not exist.
func (s *Store) idOfEach() []token.SessionID {
	shards := *s.shards.Load()
	ids := make([]token.SessionID, 0, len(shards))
	found := make([]bool, len(shards))
	for n := uint32(0); len(ids) < len(shards); n++ {
		id := token.SessionID{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
		if ordinal := ordinalOf(shards, id); !found[ordinal] {
			found[ordinal] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// confirmShardSQL is confirmSQL at the server with the shard of a session.
const confirmShardSQL = "SELECT pg_logical_emit_message(true, 'pawl'::text, ''::text)" +
	" FROM (SELECT count(*) FROM pawl.session WHERE id = $1) AS one"

// confirmShards is confirmOn for the sessions with these ids.
func (s *Store) confirmShards(ctx context.Context, conn *pgx.Conn, ids []token.SessionID) error {
	uuids := make([][16]byte, len(ids))
	for i, id := range ids {
		uuids[i] = id
	}
	for _, group := range s.byShard(uuids) {
		if _, err := conn.Exec(ctx, confirmShardSQL, group[0]); err != nil {
			return err
		}
	}
	if unconfirmed(conn) {
		return errUnconfirmed
	}
	return nil
}

// deleteKeysOf deletes the API keys of sessions. Without Citus, a foreign key of the table does that.
func (s *Store) deleteKeysOf(ctx context.Context, tx pgx.Tx, ids [][16]byte) error {
	if s.citus == nil || len(ids) == 0 {
		return nil
	}
	const (
		// A change of a reference table needs a commit in two phases. Most sessions have no API key.
		find = "SELECT id FROM pawl.api_key WHERE session_id = ANY ($1)"
		end  = "DELETE FROM pawl.api_key WHERE session_id = ANY ($1)"
	)
	found, err := collect(ctx, tx, pgx.RowTo[int64], find, ids)
	if err == nil && len(found) > 0 {
		_, err = tx.Exec(ctx, end, ids)
	}
	return err
}
