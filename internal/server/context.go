package server

import (
	"context"
	"sync"
	"time"
)

// requestContext is the context of one request: it has the request id, and ends
// RequestTimeout after it began or when the request is over, whichever is
// first. It makes its timer when somebody waits: a request that is answered
// from memory never does, and a timer is a twelfth of such a request's time in
// Pawl (BenchmarkHandler).
type requestContext struct {
	context.Context // gives values alone
	id              string
	deadline        time.Time

	mu     sync.Mutex      // guards what follows
	timed  context.Context // nil until somebody waits
	cancel context.CancelFunc
	over   bool
}

// newRequestContext takes values, and nothing else, from the context of the
// HTTP request: the exchange is not given up when the client goes away, as its
// outcome would be lost.
func newRequestContext(of context.Context, id string) *requestContext {
	return &requestContext{Context: context.WithoutCancel(of), id: id, deadline: time.Now().Add(RequestTimeout)}
}

// end is called when the request is over.
func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.timed != nil {
		c.cancel()
	}
}

// wait returns the context that has the timer.
func (c *requestContext) wait() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.over {
			c.cancel()
		}
	}
	return c.timed
}

func (c *requestContext) Deadline() (time.Time, bool) { return c.deadline, true }
func (c *requestContext) Done() <-chan struct{}       { return c.wait().Done() }

func (c *requestContext) Err() error {
	c.mu.Lock()
	timed, over := c.timed, c.over
	c.mu.Unlock()
	switch {
	case timed != nil:
		return timed.Err()
	case over:
		return context.Canceled
	case !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value asks the context that has the timer where there is one: by that, the
// contexts below it are cancelled without a goroutine for each.
func (c *requestContext) Value(key any) any {
	if key == (requestIDKey{}) {
		return c.id
	}
	c.mu.Lock()
	timed := c.timed
	c.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return c.Context.Value(key)
}
