package throttle

import (
	"context"
	"sync"

	"github.com/pawlauth/pawl/internal/password"
)

// semaphore lets a few guesses of one address at one account run at once; the
// others wait. A guess counts as failed while it runs: without it, a client
// that signs in many times at once would meet its own guesses.
type semaphore struct {
	mu    sync.Mutex // guards lanes
	lanes map[lane]*turn
}

type lane struct {
	account AccountHash
	address string
}

type turn struct {
	users int // that run or wait; guarded by semaphore.mu
	slots chan struct{}
}

func newSemaphore() *semaphore { return &semaphore{lanes: map[lane]*turn{}} }

// acquire waits for a turn, and returns what ends it. The error is the context's,
// or password.ErrBusy where as many wait as may.
func (t *semaphore) acquire(ctx context.Context, g Attempt) (leave func(), err error) {
	key := lane{g.Account, g.Address}
	t.mu.Lock()
	one := t.lanes[key]
	if one == nil {
		one = &turn{slots: make(chan struct{}, parallelGuesses)}
		t.lanes[key] = one
	}
	if one.users >= parallelGuesses+waitingGuesses {
		t.mu.Unlock()
		return nil, password.ErrBusy
	}
	one.users++
	t.mu.Unlock()
	select {
	case one.slots <- struct{}{}:
		return func() { <-one.slots; t.drop(key, one) }, nil
	case <-ctx.Done():
		t.drop(key, one)
		return nil, ctx.Err()
	}
}

func (t *semaphore) drop(key lane, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(t.lanes, key)
	}
}
