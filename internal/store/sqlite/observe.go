package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
)

// Hooks are called when something has happened, by many at once. The zero
// value hears nothing.
type Hooks struct {
	Committed func(steps int, took time.Duration) // a batch, whether its commit worked or not
	Failed    func()                              // a read, a step or a commit failed
}

// SessionCount returns how many sessions memory has: all there are, but for the
// first seconds of a process, while it reads them.
func (s *Store) SessionCount(context.Context) (int64, bool) { return s.memory.count.Load(), true }

// failed explains an error, and tells of it if it is the store's own.
func (s *Store) failed(err error) error {
	err = explain(err)
	if err != nil && s.hooks.Failed != nil && !errors.Is(err, authority.ErrNotFound) && !errors.Is(err, authority.ErrDuplicate) {
		s.hooks.Failed()
	}
	return err
}
