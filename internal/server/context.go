package server

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// deadlines gives requests their deadline. Those that begin in the same second
// share one context, and so one timer: a timer for each is a fifth of a session
// call's time in Pawl (BenchmarkHandler). It is safe for concurrent use.
type deadlines struct {
	current atomic.Pointer[second] // replaced, never changed
}

// second is the context of the requests that begin in one second.
type second struct {
	context.Context
	begins time.Time
	_      context.CancelFunc // not needed: the deadline ends the context
}

// at returns a context that ends RequestTimeout after the second began.
func (d *deadlines) at(now time.Time) context.Context {
	s := d.current.Load()
	if s != nil && now.Sub(s.begins) < time.Second && !now.Before(s.begins) {
		return s.Context
	}
	ctx, cancel := context.WithDeadline(context.Background(), now.Add(RequestTimeout))
	s = &second{ctx, now, cancel}
	d.current.Store(s) // two that come at once make two: either is right
	return ctx
}

// requestContext is the context of one request. It does not end when the client
// goes away: the outcome of an exchange would be lost.
type requestContext struct {
	context.Context
	id     string
	values context.Context // net/http's own: its values count, its end does not
}

// Value gives the request id, for the log, and what a middleware has added,
// such as a span. The deadline's own comes first: package context asks for it.
func (c *requestContext) Value(key any) any {
	if key == (requestIDKey{}) {
		return c.id
	}
	if value := c.Context.Value(key); value != nil {
		return value
	}
	return c.values.Value(key)
}

func (s *Server) context(w http.ResponseWriter, r *http.Request) context.Context {
	return &requestContext{s.deadlines.at(time.Now()), answerID(w), r.Context()}
}
