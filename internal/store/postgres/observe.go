package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// failed counts an error, if it is the database's and not an answer of the store's contract.
func (o *observed) failed(err error) {
	answered := errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrDuplicate) || errors.Is(err, storecopy.ErrNotEmpty)
	if err != nil && !answered {
		o.metrics.StoreError()
	}
}

// observed is the part of a Store that others look at.
type observed struct {
	metrics  *metrics.Metrics
	estimate estimate
}

const (
	estimateLife    = 15 * time.Second // an estimate is not asked for anew before that
	estimateTimeout = time.Second
)

// estimate is what the planner thinks that the session table holds.
type estimate struct {
	mu    sync.Mutex // guards what follows, and lets one ask at a time
	rows  int64
	known bool
	asked time.Time
}

// SessionCount returns the planner's estimate of the sessions, which costs the
// database nothing: what the last vacuum or analyze found, on this database. It
// is false until the first one, and while the database cannot be asked.
func (s *Store) SessionCount(ctx context.Context) (int64, bool) {
	e := &s.estimate
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.asked.IsZero() && time.Since(e.asked) < estimateLife {
		return e.rows, e.known
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	err := s.pool.QueryRow(ctx, "SELECT reltuples::bigint FROM pg_class WHERE oid = 'pawl.session'::regclass").Scan(&e.rows)
	e.asked, e.known = time.Now(), err == nil && e.rows >= 0 // -1: never analyzed
	return e.rows, e.known
}
