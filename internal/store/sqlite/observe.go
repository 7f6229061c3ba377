package sqlite

import (
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// SessionCount returns how many sessions memory has: all there are, but for the
// first seconds of a process, while it reads them.
func (s *Store) SessionCount(context.Context) (int64, bool) { return s.memory.count.Load(), true }

// failed explains an error, and tells of it.
func (s *Store) failed(err error) error {
	s.tell(err)
	return explain(err)
}

// tell tells of an error, if it is the store's own and not an answer of its contract.
func (s *Store) tell(err error) {
	answered := errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrDuplicate) || errors.Is(err, storecopy.ErrNotEmpty)
	if err != nil && !answered {
		s.metrics.StoreError()
	}
}
