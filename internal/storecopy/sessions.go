package storecopy

import (
	"context"
	"sync"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

const atOnce = 64 // ends share commits in an embedded store

// EndSessions ends every session that a store has, and returns how many. Nobody
// else may use the store meanwhile.
func EndSessions(ctx context.Context, store interface {
	authority.SessionStore
	Copier
}, show func(what string, done, total int64)) (ended int64, err error) {
	counts, err := store.Count(ctx)
	if err != nil {
		return 0, err
	}
	for {
		some, err := store.ReadSessions(ctx, token.SessionID{}, page)
		if err != nil || len(some) == 0 {
			return ended, err
		}
		if err := endAll(ctx, store, some); err != nil {
			return ended, err
		}
		ended += int64(len(some))
		show("sessions", ended, counts.Sessions)
	}
}

func endAll(ctx context.Context, store authority.SessionStore, sessions []authority.SessionWithOrigin) error {
	work := make(chan token.SessionID, len(sessions))
	for _, s := range sessions {
		work <- s.ID
	}
	close(work)
	var first error
	var mu sync.Mutex // guards first
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for id := range work {
				if err := store.EndSession(ctx, id); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
			}
		})
	}
	group.Wait()
	return first
}
