package authority

import (
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Logout ends the caller's session. A caller with an API key alone has no session, and the key stays valid.
func (a *Authority) Logout(ctx context.Context, c Caller) error {
	if c.Session == nil {
		return nil
	}
	_, err := asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		return struct{}{}, fault.FromStore(a.endSession(ctx, c.rightsOn(nil), c.Session.ID), nil)
	})
	event := c.event(audit.Event{Kind: audit.Logout, User: c.User.ID, Session: c.Session.ID})
	return a.recordIfDone(ctx, err, event)
}

// Sessions returns the sessions of a user; 0 means the caller.
func (a *Authority) Sessions(ctx context.Context, c Caller, userID int64) ([]SessionWithOrigin, error) {
	if userID == 0 {
		userID = c.User.ID
	}
	if _, err := a.changeableUser(ctx, c, userID, true); err != nil {
		return nil, err
	}
	sessions, err := a.store.Sessions(ctx, userID, a.now())
	return sessions, fault.FromStore(err, nil)
}

// EndSession ends a session of the caller, or of a user that the caller may change.
func (a *Authority) EndSession(ctx context.Context, c Caller, id token.SessionID) error {
	s, err := a.readSession(ctx, id)
	if err != nil {
		return fault.FromStore(err, errSessionNotFound)
	}
	if a.now() >= s.Session.Idle {
		return errSessionNotFound
	}
	_, err = asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		owner, err := a.changeableUser(ctx, c, s.User.ID, true)
		if err != nil {
			return struct{}{}, hide(err, errSessionNotFound)
		}
		return struct{}{}, fault.FromStore(a.endSession(ctx, c.rightsOn(owner), id), errSessionNotFound)
	})
	return a.recordIfDone(ctx, err, c.event(audit.Event{Kind: audit.SessionEnded, User: s.User.ID, Session: id}))
}

// readSession is Store.Session within a span.
func (a *Authority) readSession(ctx context.Context, id token.SessionID) (SessionWithUser, error) {
	ctx, end := a.storeSpan(ctx, "Session")
	s, err := a.store.Session(ctx, id)
	end(err)
	return s, err
}

// endSession is Store.EndSession within a span.
func (a *Authority) endSession(ctx context.Context, r Rights, id token.SessionID) error {
	ctx, end := a.storeSpan(ctx, "EndSession")
	err := a.store.EndSession(ctx, r, id)
	end(err)
	return err
}

// storeSpan starts the span of a call of the store. The caller ends the span with end, which marks it as failed unless
// the error is nil or fault.ErrNotFound.
func (a *Authority) storeSpan(ctx context.Context, method string) (_ context.Context, end func(error)) {
	if a.tracer == nil { // the closure below costs an allocation, and this is the path of every check
		return ctx, func(error) {}
	}
	ctx, endSpan := a.tracer.Start(ctx, "store "+method)
	return ctx, func(err error) {
		if errors.Is(err, fault.ErrNotFound) {
			err = nil
		}
		endSpan(err)
	}
}
