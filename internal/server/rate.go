package server

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rateTable limits the requests of each address. Once young is full it becomes old, and the previous old map is
// dropped. This bounds the size of the table, and addresses with regular requests stay in the table.
type rateTable struct {
	perMinute int
	mu        sync.Mutex // guards young and old
	young     map[string]*rate.Limiter
	old       map[string]*rate.Limiter
}

const rateTableSize = 1 << 16 // addresses in each half

// wait counts a request of an address and returns 0. If the address has used up its rate, wait counts nothing and
// returns how long the address has to wait. The rate of a whole minute may be used at once.
func (t *rateTable) wait(address string, now time.Time) time.Duration {
	reservation := t.limiter(address).ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

func (t *rateTable) limiter(address string) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if limiter, ok := t.young[address]; ok {
		return limiter
	}
	limiter, ok := t.old[address]
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(float64(t.perMinute)/60), t.perMinute)
	}
	if len(t.young) >= rateTableSize {
		t.young, t.old = map[string]*rate.Limiter{}, t.young
	}
	t.young[address] = limiter
	return limiter
}
