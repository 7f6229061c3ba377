package authority

import (
	"context"
	"time"
)

// A purge and a sweep work page by page. After each page they pause for purgeShare or sweepShare times as long as the
// page took, so that other writes of the store wait for a page only now and then. A purge is not urgent: its pages stay
// so small that the p99 of refreshes does not show them (make bench-many).
const (
	sweepPage  = 100 // sessions
	sweepShare = 4
	purgePage  = 20 // sessions
	purgeShare = 9
)

// purgeRetry is how long a purge waits after an error. It is also how often a node looks for the sessions ended by a
// node that died.
const purgeRetry = time.Minute

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
		if err := pause(ctx, begun, purgeShare); err != nil {
			return err
		}
	}
}

// pause waits after a page that began at a time, share times as long as the page took, or until ctx ends.
func pause(ctx context.Context, begun time.Time, share time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(share * time.Since(begun)):
		return nil
	}
}
