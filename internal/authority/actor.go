package authority

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// mayActFor reports whether a user may act in a session of another user: one that the actor could change.
func (u *User) mayActFor(user *User) bool {
	return u.ID != user.ID && u.Status.MaySignIn() && u.administers(user.Tenant) && user.Level >= u.Level
}

// liveActor returns the user who acts in a session, or nil if the session has no actor. If that user may no longer act
// for the session's user, or all sessions of that user have ended since the session was opened, liveActor ends the
// session and returns errSessionEnded.
func (a *Authority) liveActor(ctx context.Context, s Session) (*User, error) {
	if s.ActorID() == 0 {
		return nil, nil
	}
	storeCtx, end := a.storeSpan(ctx, "SessionActor")
	actor, user, err := a.store.SessionActor(storeCtx, s)
	end(err)
	switch {
	case err != nil:
		return nil, fault.FromStore(err, errSessionEnded)
	case actor != nil && actor.mayActFor(user):
		return actor, nil
	}
	// The session may have ended meanwhile by another way, which has an event of its own.
	if _, err := a.readSession(ctx, s.ID); err != nil {
		return nil, fault.FromStore(err, errSessionEnded)
	}
	if err := a.endSession(ctx, Rights{}, s.ID); err != nil {
		return nil, fault.FromStore(err, nil)
	}
	a.audit.Record(ctx, user.event(audit.Event{
		Kind: audit.SessionEnded, Session: s.ID, Actor: s.ActorID(), Detail: "the actor may no longer act in it",
	}))
	return nil, errSessionEnded
}
