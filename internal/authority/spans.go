package authority

import (
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// storeSpan starts the span of a call of the store. The caller ends it with end, which marks the span as failed unless
// the error is nil or fault.ErrNotFound: that one is an answer.
func (a *Authority) storeSpan(ctx context.Context, method string) (_ context.Context, end func(error)) {
	ctx, endSpan := a.tracer.Start(ctx, "store "+method)
	return ctx, func(err error) {
		if errors.Is(err, fault.ErrNotFound) {
			err = nil
		}
		endSpan(err)
	}
}

// readSession is Store.Session within a span.
func (a *Authority) readSession(ctx context.Context, id token.SessionID) (SessionWithUser, error) {
	ctx, end := a.storeSpan(ctx, "Session")
	live, err := a.store.Session(ctx, id)
	end(err)
	return live, err
}

// endSession is Store.EndSession within a span.
func (a *Authority) endSession(ctx context.Context, id token.SessionID) error {
	ctx, end := a.storeSpan(ctx, "EndSession")
	err := a.store.EndSession(ctx, id)
	end(err)
	return err
}

// endSessions ends all sessions of a user, within a span.
func (a *Authority) endSessions(ctx context.Context, userID int64) error {
	ctx, end := a.storeSpan(ctx, "EndSessions")
	err := a.store.EndSessions(ctx, userID, token.SessionID{})
	end(err)
	return err
}
