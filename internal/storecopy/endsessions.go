package storecopy

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// concurrentEnds is how many sessions are ended at a time, because an embedded store commits them together.
const concurrentEnds = 64

// SessionStore is a store whose sessions EndSessions can end.
type SessionStore interface {
	Copier
	// EndSession removes a session and its API keys. Empty rights are not checked.
	EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error
}

// EndSessions ends every session of a store, and returns how many it ended. No other process may use the store
// meanwhile.
func EndSessions(ctx context.Context, store SessionStore, progress Progress) (ended int64, err error) {
	counts, err := store.Count(ctx)
	if err != nil {
		return 0, err
	}
	for {
		sessions, err := store.ReadSessions(ctx, token.SessionID{}, pageSize)
		if err != nil || len(sessions) == 0 {
			return ended, err
		}
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(concurrentEnds)
		for _, session := range sessions {
			group.Go(func() error { return store.EndSession(groupCtx, authority.Rights{}, session.ID) })
		}
		if err := group.Wait(); err != nil {
			return ended, err
		}
		ended += int64(len(sessions))
		progress("sessions", ended, counts.Sessions)
	}
}
