package authority

import (
	"context"
	"time"
)

const (
	purgePage = 100 // sessions in one step of a purge or a sweep
	// purgeShare makes the pause after a page this many times as long as the page took, so that other writes of the
	// store wait for a purge or a sweep only now and then.
	purgeShare = 4
	// purgeRetry is how long a purge waits after an error. It is also how often a node looks for the sessions ended by
	// a node that died.
	purgeRetry = time.Minute
)

// Purge removes the rows of sessions that ended all at once, as soon as they have ended, until ctx ends. The sessions
// are invalid already, so nothing depends on when their rows are removed.
func (a *Authority) Purge(ctx context.Context) {
	retry := time.NewTicker(purgeRetry)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.store.Ended():
		case <-retry.C:
		}
		if err := a.purgeAll(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "purge of ended sessions stopped early, and continues in a minute", "err", err)
		}
	}
}

// purgeAll removes all rows of ended sessions, a page at a time.
func (a *Authority) purgeAll(ctx context.Context) error {
	for {
		begun := time.Now()
		_, done, err := a.store.Purge(ctx, purgePage)
		if err != nil || done {
			return err
		}
		if err := pause(ctx, begun); err != nil {
			return err
		}
	}
}

// pause waits after a page that began at a time, or until ctx ends.
func pause(ctx context.Context, begun time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(purgeShare * time.Since(begun)):
		return nil
	}
}
