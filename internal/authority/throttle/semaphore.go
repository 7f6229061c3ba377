package throttle

import (
	"context"
	"errors"
	"sync"
)

// The limits of the attempts of one address at one account.
const (
	maxRunning = 4  // at the same time; fewer than freeFailures
	maxWaiting = 64 // until another one ends
)

// errTooManyWaiting is the error of an attempt while maxWaiting attempts wait.
var errTooManyWaiting = errors.New("throttle: too many attempts wait")

// semaphore is a keyed semaphore: it lets maxRunning attempts with the same key run at the same time. An attempt counts
// as failed while it runs, so a client with many sign-ins at once would otherwise be throttled by its own attempts.
type semaphore struct {
	mu     sync.Mutex // guards queues
	queues map[semaphoreKey]*queue
}

type semaphoreKey struct {
	account AccountHash
	address string
}

// queue has the attempts of one key.
type queue struct {
	attempts int           // the number running or waiting; guarded by semaphore.mu
	slots    chan struct{} // has one element for each running attempt
}

func newSemaphore() *semaphore { return &semaphore{queues: map[semaphoreKey]*queue{}} }

// acquire waits for a slot and returns a function that releases it. The error is errTooManyWaiting or the context's.
func (s *semaphore) acquire(ctx context.Context, a Attempt) (release func(), err error) {
	key := semaphoreKey{account: a.Account, address: a.Address}
	s.mu.Lock()
	q := s.queues[key]
	if q == nil {
		q = &queue{slots: make(chan struct{}, maxRunning)}
		s.queues[key] = q
	}
	if q.attempts >= maxRunning+maxWaiting {
		s.mu.Unlock()
		return nil, errTooManyWaiting
	}
	q.attempts++
	s.mu.Unlock()
	select {
	case q.slots <- struct{}{}:
		return func() { <-q.slots; s.leave(key, q) }, nil
	case <-ctx.Done():
		s.leave(key, q)
		return nil, ctx.Err()
	}
}

// leave removes an attempt from its queue, and the queue if it is empty.
func (s *semaphore) leave(key semaphoreKey, q *queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.attempts--
	if q.attempts == 0 {
		delete(s.queues, key)
	}
}
