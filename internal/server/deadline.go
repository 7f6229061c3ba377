package server

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// requestTimeout is how long a handler may take. Because requests share deadlines, a handler may have up to a second
// less.
const requestTimeout = 10 * time.Second

// deadlines has the deadlines of requests. All requests of the same second share one context and one timer, because a
// timer for each request costs more than 3 % of a session call (BenchmarkHandler). It is safe for concurrent use.
type deadlines struct {
	current atomic.Pointer[sharedDeadline] // a shared deadline is replaced, never changed
}

type sharedDeadline struct {
	context.Context
	begins time.Time
}

// at returns a context that ends requestTimeout after now, or up to a second earlier.
func (d *deadlines) at(now time.Time) context.Context {
	shared := d.current.Load()
	if shared != nil && now.Sub(shared.begins) < time.Second && !now.Before(shared.begins) {
		return shared.Context
	}
	ctx, cancel := context.WithDeadline(context.Background(), now.Add(requestTimeout))
	context.AfterFunc(ctx, cancel) // only the deadline ends the context
	d.current.Store(&sharedDeadline{Context: ctx, begins: now})
	return ctx // two concurrent calls may each create one; both are valid
}

// requestContext is the context of one request. It carries the request id and the values of net/http's context, but it
// does not end when the client disconnects, because the outcome of a refresh would be lost.
type requestContext struct {
	context.Context // the deadline
	requestID       string
	values          context.Context
}

// Value returns the request id for requestIDKey. For other keys it asks the deadline's context first, because package
// context finds a parent context by a key of its own, and then net/http's context.
func (c *requestContext) Value(key any) any {
	if key == (requestIDKey{}) {
		return c.requestID
	}
	if value := c.Context.Value(key); value != nil {
		return value
	}
	return c.values.Value(key)
}

func (s *server) requestContext(w http.ResponseWriter, r *http.Request) context.Context {
	return &requestContext{Context: s.deadlines.at(time.Now()), requestID: responseID(w), values: r.Context()}
}
