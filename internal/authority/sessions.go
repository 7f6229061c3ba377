package authority

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// SessionQuery selects sessions to list.
type SessionQuery struct {
	UserID int64 // the user of the sessions; 0 is the caller
	All    bool  // the sessions of every user that the caller may change, instead of those of one user
	Page   int64 // from 1
	Limit  int64 // sessions of a page
	// From and Skip begin a page of All at a session: the Skip-th of the user From, and those after it. Skip alone
	// begins a page of one user after that many sessions. Page must be 1.
	From UserPosition
	Skip int64
}

// Sessions returns a page of the live sessions of the caller, of a user that the caller may change, or of all those
// users.
func (a *Authority) Sessions(ctx context.Context, c Caller, q SessionQuery) ([]SessionWithOrigin, error) {
	if err := checkPage(q.Page, q.Limit); err != nil {
		return nil, err
	}
	f := SessionFilter{Now: a.now(), From: q.From, Offset: (q.Page-1)*q.Limit + q.Skip, Limit: q.Limit}
	switch {
	case q.All && q.UserID != 0:
		return nil, fault.Invalid("userId and all exclude each other; send one of them.")
	case q.All && !c.User.IsAdmin():
		return nil, errLevel
	case q.All:
		f.HighestLevel = c.User.Level
		f.NetworkID, f.MailboxID = c.administered()
	default:
		f.UserID = cmp.Or(q.UserID, c.User.ID)
		if _, err := a.changeableUser(ctx, c, f.UserID, true); err != nil {
			return nil, err
		}
	}
	sessions, err := a.store.Sessions(ctx, f)
	return sessions, fault.FromStore(err, nil)
}

// LiveSession returns a live session that the caller may end, and its user. An unknown session, an ended one and one
// that the caller may not end return the same fault.NotFound.
func (a *Authority) LiveSession(ctx context.Context, c Caller, id token.SessionID) (SessionWithOrigin, *User, error) {
	found, err := a.store.Sessions(ctx, SessionFilter{Session: id, Now: a.now()})
	if err != nil {
		return SessionWithOrigin{}, nil, fault.FromStore(err, nil)
	}
	if len(found) == 0 {
		return SessionWithOrigin{}, nil, errSessionNotFound
	}
	user, err := a.changeableUser(ctx, c, found[0].UserID, true)
	if err != nil {
		return SessionWithOrigin{}, nil, hide(err, errSessionNotFound)
	}
	return found[0], user, nil
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
	return a.recordIfDone(ctx, err, c.event(s.User.event(audit.Event{
		Kind: audit.SessionEnded, Session: id, Actor: s.Session.ActorID(),
	})))
}

// EndOwnSessions ends all sessions of the caller, or all but the one of the request, and returns how many it ended.
func (a *Authority) EndOwnSessions(ctx context.Context, c Caller, exceptCurrent bool) (int64, error) {
	ended, err := asCaller(ctx, a, c, func(c Caller) (int64, error) {
		opts := EndOptions{CountAt: a.now()}
		if exceptCurrent {
			opts.Except = c.sessionID()
		}
		storeCtx, end := a.storeSpan(ctx, "EndSessions")
		ended, err := a.store.EndSessions(storeCtx, c.rightsOn(c.User), c.User.ID, opts)
		end(err)
		return ended, fault.FromStore(err, nil)
	})
	event := c.event(audit.Event{
		Kind: audit.SessionsReset, User: c.User.ID, Detail: fmt.Sprintf("%d sessions", ended),
	})
	if exceptCurrent {
		event.Detail += ", all but the current one"
		event.Session = c.sessionID()
	}
	return ended, a.recordIfDone(ctx, err, event)
}

// sessionID returns the id of the caller's session, or zero for a caller without one.
func (c Caller) sessionID() token.SessionID {
	if c.Session == nil {
		return token.SessionID{}
	}
	return c.Session.ID
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
