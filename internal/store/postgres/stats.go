package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

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
	estimateTimeout = time.Second
)

// estimate is the planner's estimate of the number of sessions.
type estimate struct {
	mu    sync.Mutex // guards the following fields, and lets one query run at a time
	rows  int64
	valid bool
	at    time.Time
}

// SessionCount returns the planner's estimate of the number of sessions, as the last vacuum or analyze found it. The
// estimate costs the database nothing. It is invalid until the first vacuum, and while the database is unreachable.
func (s *Store) SessionCount(ctx context.Context) (rows int64, valid bool) {
	e := &s.estimate
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.at.IsZero() && time.Since(e.at) < estimateLife {
		return e.rows, e.valid
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	const sql = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'pawl.session'::regclass"
	err := s.pool.QueryRow(ctx, sql).Scan(&e.rows)
	e.at = time.Now()
	e.valid = err == nil && e.rows >= 0 // -1 if the table was never analyzed
	return e.rows, e.valid
}
