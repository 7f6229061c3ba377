package storecopy

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// concurrentEnds is how many sessions are ended at a time, because an embedded store commits them together.
const concurrentEnds = 64

// SessionStore is a store whose sessions EndSessions can end.
type SessionStore interface {
	Copier
	EventStore
	// EndSession removes a session and its API keys. Empty rights are not checked.
	EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error
}

// EndSessions ends every session of a store, and returns how many it ended. The next server pushes the ends to the
// receivers. No other process may use the store meanwhile.
func EndSessions(
	ctx context.Context, store SessionStore, now time.Time, progress Progress,
) (ended int64, err error) {
	if err := AnnounceEnds(ctx, store, now, "all sessions of the store", progress); err != nil {
		return 0, err
	}
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
