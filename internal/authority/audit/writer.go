package audit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/pawlauth/pawl/internal/metrics"
)

const (
	auditQueue = 4096            // events that wait for the store
	auditBatch = 256             // events in one step of the store
	auditTime  = 5 * time.Second // that one step may take
	// Strangers can make loginFailed and refreshRefused, so they must not fill
	// the disk: each of the two has this much, as the one costs them a hash and
	// the other nothing, and would hide the first.
	strangersRate  = 10   // a second, in the long run
	strangersBurst = 5000 // at once
)

// Writer keeps events in a store, off the path of the calls that they are
// about: they wait in a bounded queue, and one goroutine, the writer, adds them
// in batches. What does not fit is counted, and the count becomes an event; all
// of it is in the log. A nil *Writer records nothing. It is safe for concurrent use.
type Writer struct {
	config    Config
	queue     chan Event
	lost      atomic.Int64 // not said yet
	everLost  atomic.Int64
	strangers map[Kind]*rate.Limiter // not changed
	flushes   chan chan struct{}     // each is closed when the queue has been empty
	stop      chan struct{}
	ended     chan struct{}
	close     sync.Once
}

// Config configures a Writer. Metrics and RequestID are optional; every other field is required.
type Config struct {
	Store     Store
	Clock     func() time.Time
	Log       *slog.Logger
	Metrics   *metrics.Metrics
	RequestID func(context.Context) string // returns the id of the request that a context belongs to, or ""
}

// NewWriter starts a writer. Close ends it.
func NewWriter(c Config) *Writer {
	if c.RequestID == nil {
		c.RequestID = func(context.Context) string { return "" }
	}
	c.Metrics.Declare(metrics.Labels{AuditKinds: countedKinds()})
	a := &Writer{config: c, queue: make(chan Event, auditQueue),
		strangers: map[Kind]*rate.Limiter{
			LoginFailed:    rate.NewLimiter(strangersRate, strangersBurst),
			RefreshRefused: rate.NewLimiter(strangersRate, strangersBurst),
		},
		flushes: make(chan chan struct{}), stop: make(chan struct{}), ended: make(chan struct{})}
	go a.write()
	return a
}

// Close adds what waits and ends the writer, before the store is closed.
func (a *Writer) Close() {
	a.close.Do(func() { close(a.stop) })
	<-a.ended
}

// Record completes an event with the time and the request's id, logs it, counts it, and queues it for the store. It
// never waits.
func (a *Writer) Record(ctx context.Context, e Event) {
	if a == nil {
		return
	}
	e.At = a.config.Clock().Unix()
	e.Request = a.config.RequestID(ctx)
	logEvent(ctx, a.config.Log, e)
	a.config.Metrics.AuditEvent(string(e.Kind))
	a.enqueue(e)
}

func (a *Writer) enqueue(e Event) {
	if bound := a.strangers[e.Kind]; bound != nil && !bound.Allow() {
		a.lose(1)
		return
	}
	select {
	case a.queue <- e:
	default:
		a.lose(1)
	}
}

func (a *Writer) lose(n int64) { a.lost.Add(n); a.everLost.Add(n) }

// Stats returns how many events wait for the store, and how many it does not
// have since the start: those are in the log only.
func (a *Writer) Stats() (waiting int, lost int64) { return len(a.queue), a.everLost.Load() }

// Flush returns when what was offered before is in the store, or ctx ends.
func (a *Writer) Flush(ctx context.Context) {
	if a == nil {
		return
	}
	done := make(chan struct{})
	select {
	case a.flushes <- done:
		select {
		case <-done:
		case <-ctx.Done():
		}
	case <-a.ended:
	case <-ctx.Done():
	}
}

func (a *Writer) write() {
	defer close(a.ended)
	for {
		select {
		case e := <-a.queue:
			a.add(append(make([]Event, 0, auditBatch), e))
		case done := <-a.flushes:
			a.drain()
			close(done)
		case <-a.stop:
			a.drain()
			return
		}
	}
}

// drain adds what is in the queue now, and what comes meanwhile up to a
// queue's length: so it ends.
func (a *Writer) drain() {
	for range auditQueue/auditBatch + 1 {
		if !a.add(nil) {
			return
		}
	}
}

// add puts the events and more of the queue into the store, and reports
// whether there were any that it took. A store that cannot take them loses
// them: the log has them.
func (a *Writer) add(events []Event) bool {
gather:
	for len(events) < auditBatch {
		select {
		case e := <-a.queue:
			events = append(events, e)
		default:
			break gather
		}
	}
	if n := a.lost.Swap(0); n > 0 {
		e := Event{At: a.config.Clock().Unix(), Kind: EventsLost, Detail: fmt.Sprintf("%d events are in the log only", n)}
		logEvent(context.Background(), a.config.Log, e)
		if events = append(events, e); !a.try(events) {
			a.lost.Add(n) // to be said when the store is back
			return false
		}
		return true
	}
	return len(events) > 0 && a.try(events)
}

func (a *Writer) try(events []Event) bool {
	ctx, cancel := context.WithTimeout(context.Background(), auditTime)
	defer cancel()
	err := a.config.Store.AddEvents(ctx, events)
	if err != nil {
		for _, e := range events {
			if e.Kind != EventsLost {
				a.lose(1)
			}
		}
		a.config.Log.Warn("events are in the log only", "count", len(events), "err", err)
	}
	return err == nil
}
