package push

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

const (
	pageSize = 200 // events in one read of the audit
	// maxUnsaved and saveEvery bound how many deliveries a crash repeats.
	maxUnsaved = 32
	saveEvery  = time.Second
	// saveIdle is how often the cursor moves on over events that need no delivery.
	saveIdle = 30 * time.Second
	// storeRetry is the pause after a failed read or write of the store, or while the lease is not renewed.
	storeRetry = 500 * time.Millisecond
)

// worker delivers to one receiver. Only its own goroutine uses the fields without a comment on others.
type worker struct {
	pusher      *Pusher
	receiver    authority.Receiver
	woken       chan struct{}             // has a value if there are new events
	leasedUntil atomic.Pointer[time.Time] // set by the pusher
	pendingAt   atomic.Int64              // Delivery.PendingAt, for the metrics
	ended       context.Context           // ends with the lease
	stop        context.CancelFunc        // ends the lease; safe for concurrent use

	delivery authority.Delivery
	unsaved  int  // deliveries since the last save
	moved    bool // the delivery has changed since the last save
	savedAt  time.Time
}

func newWorker(p *Pusher, r authority.Receiver, leasedUntil time.Time) *worker {
	w := &worker{pusher: p, receiver: r, woken: make(chan struct{}, 1), delivery: r.Delivery, savedAt: time.Now()}
	w.leasedUntil.Store(&leasedUntil)
	w.ended, w.stop = context.WithCancel(context.Background())
	return w
}

// run delivers until the lease or ctx ends. If only ctx has ended, it finishes the delivery in progress.
func (w *worker) run(ctx context.Context) {
	defer w.stop()
	for {
		wait := w.deliver(ctx)
		woken := w.woken
		if wait > 0 {
			woken = nil // a new event does not shorten a pause
		} else {
			wait = saveIdle
		}
		timer := time.NewTimer(wait)
		select {
		case <-woken:
		case <-timer.C:
		case <-w.ended.Done():
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil || w.ended.Err() != nil {
			w.save() // changes nothing if the lease has ended in the store
			return
		}
	}
}

// deliver delivers what the audit has after the cursor. It returns how long to wait before the next try, or 0 if
// everything is delivered.
func (w *worker) deliver(ctx context.Context) (wait time.Duration) {
	for ctx.Err() == nil && w.ended.Err() == nil {
		events, err := w.pusher.config.Store.Events(ctx, audit.Filter{After: new(w.delivery.Cursor), Limit: pageSize})
		if err != nil {
			return storeRetry
		}
		for i := range events {
			if Revokes(&events[i]) {
				if wait := w.send(ctx, &events[i]); wait > 0 {
					return wait
				}
			}
			w.delivery.Cursor = events[i].ID
			w.moved = true
			due := w.unsaved >= maxUnsaved || w.unsaved > 0 && time.Since(w.savedAt) >= saveEvery
			if due && !w.save() {
				return storeRetry
			}
		}
		if len(events) < pageSize {
			if (w.unsaved > 0 || time.Since(w.savedAt) >= saveIdle) && !w.save() {
				return storeRetry
			}
			return 0
		}
	}
	return 0
}

// send delivers one event. It returns how long to wait before the next try, or 0 if the event needs no other one.
func (w *worker) send(ctx context.Context, e *audit.Event) (wait time.Duration) {
	if ctx.Err() != nil || !w.isLeased() {
		return storeRetry
	}
	w.pendingAt.Store(e.At)
	p := w.pusher
	text, err := p.sign(ctx, revocation(p.config.Issuer, &w.receiver, e))
	a := answer{}
	if err == nil {
		a = p.post(w.ended, &w.receiver, text)
	} else {
		a.problem = err.Error()
	}
	switch {
	case w.ended.Err() != nil:
		return storeRetry // the delivery was interrupted
	case a.problem == "":
		p.delivered.Add(1)
		w.delivery.Delivered++
		w.delivery.DeliveredAt = p.config.Clock().Unix()
	case a.final:
		p.rejected.Add(1)
		w.delivery.Rejected++
		w.fail(a.problem, e)
	default:
		p.failed.Add(1)
		w.delivery.Failures++
		w.delivery.PendingAt = e.At
		w.fail(a.problem, e)
		w.save()
		return max(w.backoff(), a.retryAfter)
	}
	w.delivery.Failures = 0
	w.delivery.PendingAt = 0
	w.pendingAt.Store(0)
	w.unsaved++
	return 0
}

// isLeased reports whether the lease lasts longer than a delivery. The lease ends by the time of the store, so a
// suspension of the machine counts too, which the monotonic clock leaves out.
func (w *worker) isLeased() bool {
	until := *w.leasedUntil.Load()
	left := min(time.Until(until), until.Round(0).Sub(time.Now().Round(0)))
	return left > w.pusher.config.PostTimeout
}

// fail notes a problem, and logs it if it is another one than before.
func (w *worker) fail(problem string, e *audit.Event) {
	if w.delivery.Error != problem || w.delivery.Failures <= 1 {
		w.pusher.config.Log.Warn("a security event token was not delivered", "receiver", w.receiver.ID, "event", e.ID,
			"problem", problem)
	}
	w.delivery.Error = problem
	w.delivery.ErrorAt = w.pusher.config.Clock().Unix()
	w.moved = true
}

// backoff returns the pause after a failure, which is random within a fifth, so that receivers that failed together are
// not tried together.
func (w *worker) backoff() time.Duration {
	pause := w.pusher.config.MinBackoff << min(w.delivery.Failures-1, 20)
	pause = min(pause, maxBackoff)
	return pause - rand.N(pause/5+1)
}

// save writes the delivery to the store, and reports whether it did. If the node has lost the lease, save ends the
// worker.
func (w *worker) save() bool {
	if !w.moved {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	p := w.pusher
	err := p.config.Store.SaveDelivery(ctx, p.node, w.receiver.ID, w.delivery)
	if errors.Is(err, fault.ErrNotFound) {
		w.stop()
		p.Wake() // a new worker begins with the state of the store if the node gets the lease again
	}
	if err != nil {
		return false
	}
	w.unsaved = 0
	w.moved = false
	w.savedAt = time.Now()
	return true
}
