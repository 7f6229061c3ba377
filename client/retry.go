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
	minPause  = 100 * time.Millisecond
	maxPause  = 5 * time.Second
	doublings = 6 // enough to make minPause longer than maxPause
	// maxRetryAfter is the longest Retry-After to wait for. After a longer one the call returns the error, so that the
	// caller can do something else in the meantime.
	maxRetryAfter = 30 * time.Second
)

// lostError is the error of an attempt without a complete response. The server may or may not have carried out the
// call.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// mayRetry reports whether a call can be retried safely after err.
func mayRetry(x call, err error) bool {
	if _, lost := errors.AsType[*lostError](err); lost {
		return x.isIdempotent
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok || e.RetryAfter > maxRetryAfter:
		return false
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrRateLimitExceeded):
		return true // Pawl changed nothing
	case e.Code != "" || !x.isIdempotent:
		return false
	}
	// A response without a code is from a proxy. Pawl may or may not have carried out the call.
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pause waits before the next attempt. It returns the error of the last attempt if ctx would end first.
func pause(ctx context.Context, retry int, last error) error {
	// Full jitter, so that many clients do not return at the same moment.
	wait := rand.N(min(minPause<<min(retry, doublings), maxPause))
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
