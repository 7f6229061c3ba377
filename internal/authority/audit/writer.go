package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	queueSize  = 4096            // events waiting for the store
	batchSize  = 256             // events in one call of the store
	addTimeout = 5 * time.Second // of one call of the store

	retryInterval = time.Second // between two tries to add an awaited event
)

// The limits of the kinds that unauthenticated clients can cause, so that these cannot fill the disk. Each of the
// kinds has the limits to itself, because a refused refresh costs a client less than a failed login and would hide it.
const (
	unauthenticatedRate  = 10   // per second in the long run
	unauthenticatedBurst = 5000 // at once
)

// Config configures a Writer. Metrics, RequestID and Awaits are optional; every other field is required.
type Config struct {
	Store     Store
	Clock     func() time.Time
	Log       *slog.Logger
	Metrics   *metrics.Metrics
	RequestID func(context.Context) string // returns the id of a context's request, or ""
	// Awaits reports whether Record waits until the store has an event. Such an event is never dropped for want of
	// room, and is added again after a failure of the store.
	Awaits func(*Event) bool
}

// Writer records events. It adds them to a store in the background, so that callers do not wait: the events are in a
// bounded queue, and one goroutine adds them in batches. If an event does not fit, it is in the log only. The number of
// such events becomes an event itself. A nil *Writer records nothing. It is safe for concurrent use.
type Writer struct {
	config    Config
	queue     chan Event
	lost      atomic.Int64 // events missing from the store and not yet reported by an EventsLost
	totalLost atomic.Int64
	limits    map[Kind]*rate.Limiter // not changed after NewWriter
	flushes   chan chan struct{}     // each element is closed once the queue was empty
	failed    []Event                // awaited events to be added again, at most queueSize; only run uses them
	stop      chan struct{}
	stopped   chan struct{}
	close     sync.Once
}

// NewWriter starts a writer. Close ends it.
func NewWriter(c Config) *Writer {
	if c.RequestID == nil {
		c.RequestID = func(context.Context) string { return "" }
	}
	if c.Awaits == nil {
		c.Awaits = func(*Event) bool { return false }
	}
	counted := slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return k == EventsLost }) // see Stats
	c.Metrics.Declare(metrics.Labels{AuditKinds: names(counted)})
	w := &Writer{
		config: c,
		queue:  make(chan Event, queueSize),
		limits: map[Kind]*rate.Limiter{
			LoginFailed:    rate.NewLimiter(unauthenticatedRate, unauthenticatedBurst),
			RefreshRefused: rate.NewLimiter(unauthenticatedRate, unauthenticatedBurst),
		},
		flushes: make(chan chan struct{}),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	go w.run()
	return w
}

// Record completes an event with the time and the request's id, logs it, counts it, and queues it for the store. It
// never waits, except for an event of Config.Awaits: until the store has it, has failed, or ctx ends.
func (w *Writer) Record(ctx context.Context, e Event) {
	if w == nil {
		return
	}
	w.complete(ctx, &e)
	if limit := w.limits[e.Kind]; limit != nil && !limit.Allow() {
		w.lose(1)
		return
	}
	if w.config.Awaits(&e) {
		select {
		case w.queue <- e:
			w.Flush(ctx)
		case <-w.stopped:
			w.lose(1)
		case <-ctx.Done():
			w.lose(1)
		}
		return
	}
	select {
	case w.queue <- e:
	default:
		w.lose(1)
	}
}

// complete adds the time and the request's id to an event, logs it and counts it.
func (w *Writer) complete(ctx context.Context, e *Event) {
	e.At = w.config.Clock().Unix()
	e.Request = w.config.RequestID(ctx)
	w.log(ctx, *e)
	w.config.Metrics.AuditEvent(string(e.Kind))
}

// RecordAll is Record for the events of background work, which it changes. It waits until the store has added them in
// one step, so that no number of them fills the queue.
func (w *Writer) RecordAll(ctx context.Context, events []Event) {
	if w == nil || len(events) == 0 {
		return
	}
	for i := range events {
		w.complete(ctx, &events[i])
	}
	w.add(events)
}

// Flush returns when every event recorded before is in the store, or ctx ends.
func (w *Writer) Flush(ctx context.Context) {
	if w == nil {
		return
	}
	done := make(chan struct{})
	select {
	case w.flushes <- done:
		select {
		case <-done:
		case <-ctx.Done():
		}
	case <-w.stopped:
	case <-ctx.Done():
	}
}

// Stats returns how many events wait for the store, and how many are missing from it since the start.
func (w *Writer) Stats() (waiting int, lost int64) { return len(w.queue), w.totalLost.Load() }

// Close adds the waiting events to the store, and ends the writer. Close it before the store.
func (w *Writer) Close() {
	w.close.Do(func() { close(w.stop) })
	<-w.stopped
}

// run adds events to the store until Close.
func (w *Writer) run() {
	defer close(w.stopped)
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	for {
		select {
		case <-retry.C:
			if len(w.failed) > 0 {
				w.addBatch(nil)
			}
		case e := <-w.queue:
			w.addBatch(append(make([]Event, 0, batchSize), e))
		case done := <-w.flushes:
			w.drain()
			close(done)
		case <-w.stop:
			w.drain()
			w.dropped(w.failed, errClosed)
			return
		}
	}
}

var errClosed = errors.New("the server stopped before the store worked again")

// drain adds the events in the queue, and at most another queue of events recorded meanwhile, so that drain returns.
func (w *Writer) drain() {
	for range queueSize/batchSize + 1 {
		if !w.addBatch(nil) {
			return
		}
	}
}

// addBatch adds events, and more from the queue, to the store. It reports whether it added any.
func (w *Writer) addBatch(events []Event) bool {
	events = append(w.failed, events...)
	w.failed = nil
fill:
	for len(events) < batchSize {
		select {
		case e := <-w.queue:
			events = append(events, e)
		default:
			break fill
		}
	}
	lost := w.lost.Swap(0)
	if lost > 0 {
		e := Event{
			At: w.config.Clock().Unix(), Kind: EventsLost, Detail: fmt.Sprintf("%d events are in the log only", lost),
		}
		w.log(context.Background(), e)
		events = append(events, e)
	}
	if len(events) == 0 {
		return false
	}
	err := w.store(events)
	if err == nil {
		return true
	}
	w.lost.Add(lost) // to be reported when the store works again
	w.dropped(slices.DeleteFunc(events, func(e Event) bool {
		again := len(w.failed) < queueSize && w.config.Awaits(&e)
		if again {
			w.failed = append(w.failed, e)
		}
		return again
	}), err)
	return false
}

// add adds events to the store. If the store fails, they are lost.
func (w *Writer) add(events []Event) {
	if err := w.store(events); err != nil {
		w.dropped(events, err)
	}
}

// store adds events to the store.
func (w *Writer) store(events []Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), addTimeout)
	defer cancel()
	return w.config.Store.AddEvents(ctx, events)
}

// dropped counts events that the store does not have, because of an error.
func (w *Writer) dropped(events []Event, err error) {
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		if e.Kind != EventsLost {
			w.lose(1)
		}
	}
	w.config.Log.Warn("events are in the log only", "count", len(events), "err", err)
}

func (w *Writer) lose(n int64) {
	w.lost.Add(n)
	w.totalLost.Add(n)
}

// log writes an event to the log. The request's id is missing here, because the log's handler adds it.
func (w *Writer) log(ctx context.Context, e Event) {
	level := slog.LevelInfo
	if e.Warning || e.Kind == Theft || e.Kind == EventsLost {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("kind", string(e.Kind)), slog.Int64("at", e.At)}
	if e.User != 0 {
		attrs = append(attrs, slog.Int64("user", e.User))
	}
	if e.Caller != 0 {
		attrs = append(attrs, slog.Int64("caller", e.Caller))
	}
	if e.Actor != 0 {
		attrs = append(attrs, slog.Int64("actor", e.Actor))
	}
	if e.Session != (token.SessionID{}) {
		attrs = append(attrs, slog.Any("session", e.Session))
	}
	if e.Address != "" {
		attrs = append(attrs, slog.String("address", e.Address))
	}
	if e.Detail != "" {
		attrs = append(attrs, slog.String("detail", e.Detail))
	}
	w.config.Log.LogAttrs(ctx, level, "audit", attrs...)
}
