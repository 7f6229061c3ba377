package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// countError counts an error of the database. Errors of the store's contract are not counted.
func (s *Store) countError(err error) {
	err = explain(err)
	if !errors.Is(err, fault.ErrNotFound) && !errors.Is(err, fault.ErrDuplicate) &&
		!errors.Is(err, storecopy.ErrNotEmpty) {
		s.metrics.StoreError()
	}
}

const (
	estimateLife    = 15 * time.Second // how long an estimate is cached
	estimateTimeout = 3 * time.Second
)

// estimateSQL estimates the number of rows by PostgreSQL's counters of inserts and deletes, and subtracts the sessions
// that wait for the purge. A crash or a failover resets the counters. Until the next vacuum or analyze sets them, they
// count from the estimate of the planner.
const estimateSQL = `SELECT CASE
		WHEN coalesce(t.last_vacuum, t.last_autovacuum, t.last_analyze, t.last_autoanalyze) IS NULL AND c.reltuples > 0
		THEN c.reltuples::bigint + t.n_tup_ins - t.n_tup_del ELSE t.n_live_tup END
	- (SELECT count(*) FROM pawl.session_purge p JOIN pawl.session s ON s.user_id = p.user_id AND s.epoch < p.epoch)
	FROM pg_class c JOIN pg_stat_all_tables t ON t.relid = c.oid WHERE c.oid = 'pawl.session'::regclass`

// estimateShardsSQL is estimateSQL on Citus, which has the counters of a shard at the shard.
const estimateShardsSQL = `SELECT coalesce(sum(result::bigint), 0)
	- (SELECT count(*) FROM pawl.session_purge p JOIN pawl.session s ON s.user_id = p.user_id AND s.epoch < p.epoch)
	FROM run_command_on_shards('pawl.session',
		'SELECT n_live_tup FROM pg_stat_all_tables WHERE relid = ''%s''::regclass') WHERE success`

func (s *Store) estimateSQL() string {
	if s.citus != nil {
		return estimateShardsSQL
	}
	return estimateSQL
}

// estimate is the estimated number of sessions.
type estimate struct {
	mu    sync.Mutex // guards the following fields, and lets one query run at a time
	rows  int64
	valid bool
	at    time.Time
}

// SessionCount estimates the number of sessions, without those of ended epochs. It costs the database hardly anything,
// because it counts only the sessions that wait for the purge. The result is invalid while the database is unreachable.
func (s *Store) SessionCount(ctx context.Context) (rows int64, valid bool) {
	e := &s.estimate
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.at.IsZero() && time.Since(e.at) < estimateLife {
		return e.rows, e.valid
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	err := s.bulk.pool.QueryRow(ctx, s.estimateSQL()).Scan(&e.rows)
	e.at = time.Now()
	e.valid = err == nil
	e.rows = max(0, e.rows) // the counters may lag behind
	return e.rows, e.valid
}

// The nodes that use the store now. Each connection of a node holds the lock of its number, or else the node has a row.
const (
	nodesByLock = `SELECT coalesce(min(host(a.client_addr)), 'this machine') FROM pg_locks l
		JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objsubid = 2 AND l.granted
			AND a.datname = current_database()
		GROUP BY l.objid ORDER BY 1`
	nodesByRow = "SELECT 'node ' || number FROM pawl.node WHERE until > now() ORDER BY 1"
)

// Nodes returns the addresses of the nodes that use the store now. A command such as pawl user import counts, too.
func (s *Store) Nodes(ctx context.Context) (addresses []string, known bool) {
	ctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	sql, args := nodesByLock, []any{nodeLock}
	if s.rowLocks.needed.Load() {
		sql, args = nodesByRow, nil
	}
	addresses, err := collect(ctx, s.bulk.pool, pgx.RowTo[string], sql, args...)
	return addresses, err == nil
}
