package storecopy

import (
	"context"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
)

// EventStore is a store to which AnnounceEnds adds events.
type EventStore interface {
	ReadUsers(ctx context.Context, after int64, limit int) ([]authority.UserWithHash, error)
	Receivers(ctx context.Context) ([]authority.Receiver, error)
	AddEvents(ctx context.Context, events []audit.Event) error
}

// AnnounceEnds adds an event for each user of a store whose sessions are about to end, so that the next server pushes
// the end to the receivers. Without a receiver it adds none. Each user who may sign in has an event, because a store
// from a backup lacks the sessions that were opened since. The caller ends the sessions afterwards: if a crash comes in
// between, the same call repeats the events, and no end remains without one.
func AnnounceEnds(ctx context.Context, store EventStore, now time.Time, detail string, progress Progress) error {
	receivers, err := store.Receivers(ctx)
	if err != nil || len(receivers) == 0 {
		return err
	}
	var after, done int64
	for {
		users, err := store.ReadUsers(ctx, after, pageSize)
		if err != nil || len(users) == 0 {
			return err
		}
		var events []audit.Event
		for _, u := range users {
			after = u.ID
			if u.Status.MaySignIn() {
				events = append(events, audit.Event{
					At: now.Unix(), Kind: audit.SessionsReset, User: u.ID, Detail: detail,
				})
			}
		}
		if err := store.AddEvents(ctx, events); err != nil {
			return err
		}
		done += int64(len(users))
		progress("users", done, done)
	}
}
