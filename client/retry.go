package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	doublings    = 6 // from the first pause to more than the longest
	// A server that asks for a longer wait than this gets its error handed to
	// the caller, who knows better what to do meanwhile.
	longestRetryAfter = 30 * time.Second
)

// lostError is a try that got no answer, or half of one: the call may have
// been carried out or not.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// mayRepeat reports whether a call that failed so may be sent again.
func mayRepeat(x call, err error) bool {
	if _, lost := errors.AsType[*lostError](err); lost {
		return x.repeatable
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok || e.RetryAfter > longestRetryAfter:
		return false
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrRateLimitExceeded):
		return true // Pawl has changed nothing
	}
	// An answer without a code is a proxy's, which does not know what Pawl did.
	return x.repeatable && e.Code == "" && passing(e.Status)
}

func passing(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout
}

// pause waits before the next try. It returns the error of the last one if
// there will be none.
func pause(ctx context.Context, try int, last error) error {
	wait := rand.N(min(firstPause<<min(try, doublings), longestPause)) // full jitter, so that clients do not come back together
	if e, ok := errors.AsType[*Error](last); ok {
		wait += e.RetryAfter
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return last
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w; gave up: %w", last, context.Cause(ctx))
	}
}
