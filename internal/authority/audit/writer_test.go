package audit

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// gatedStore adds a batch of events when the test lets it.
type gatedStore struct {
	Store
	gate   chan error // has the result of each AddEvents; once closed, the result is nil
	mu     sync.Mutex // guards events
	events []Event
}

func (s *gatedStore) AddEvents(_ context.Context, events []Event) error {
	err := <-s.gate
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, events...)
	}
	return err
}

func (s *gatedStore) hasKind(kind Kind) bool {
	return slices.ContainsFunc(s.events, func(e Event) bool { return e.Kind == kind })
}

func newWriter(s Store) *Writer {
	return NewWriter(Config{Store: s, Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// TestRecordNeverWaits checks that Record returns although the store hangs. Events beyond the size of the queue are
// counted, and Close stores the others.
func TestRecordNeverWaits(t *testing.T) {
	store := &gatedStore{gate: make(chan error)}
	w := newWriter(store)
	const recorded = 3 * queueSize
	for range recorded {
		w.Record(t.Context(), Event{Kind: Logout})
	}
	close(store.gate)
	w.Close()
	stored, reported := 0, false
	for _, e := range store.events {
		if e.Kind == EventsLost {
			reported = strings.Contains(e.Detail, "events are in the log only")
		} else {
			stored++
		}
	}
	if stored < queueSize || stored >= recorded || !reported {
		t.Errorf("%d of %d events were stored; the lost ones were reported: %v", stored, recorded, reported)
	}
}

// TestRecordAll checks that more events than the queue holds are stored in one step, and counted if the store fails.
func TestRecordAll(t *testing.T) {
	store := &gatedStore{gate: make(chan error, 1)}
	w := newWriter(store)
	store.gate <- nil
	w.RecordAll(t.Context(), slices.Repeat([]Event{{Kind: SessionEnded}}, 2*queueSize))
	if len(store.events) != 2*queueSize || store.events[0].At == 0 {
		t.Errorf("%d events were stored, the first is %+v", len(store.events), store.events[0])
	}
	store.gate <- fault.ErrUnavailable
	w.RecordAll(t.Context(), []Event{{Kind: SessionEnded}, {Kind: SessionEnded}})
	w.RecordAll(t.Context(), nil)
	if _, lost := w.Stats(); lost != 2 {
		t.Errorf("%d events were lost, want 2", lost)
	}
	close(store.gate)
	w.Close()
}

// TestFailedEventsAreReported checks that events are counted if the store does not take them, and that the number is
// stored when the store works again.
func TestFailedEventsAreReported(t *testing.T) {
	store := &gatedStore{gate: make(chan error, 1)}
	w := newWriter(store)
	store.gate <- fault.ErrUnavailable
	close(store.gate) // after the one error the store works
	w.Record(t.Context(), Event{Kind: Login})
	w.Flush(t.Context())
	w.Record(t.Context(), Event{Kind: Logout})
	w.Flush(t.Context())
	w.Close()
	var got []string
	for _, e := range store.events {
		got = append(got, string(e.Kind)+" "+e.Detail)
	}
	slices.Sort(got) // the number may be stored before the next event, or with it
	if want := []string{"eventsLost 1 events are in the log only", "logout "}; !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
}

// TestFloodOfRefusedRefreshes checks that a flood of refused refreshes neither fills the disk nor hides a failed
// login.
func TestFloodOfRefusedRefreshes(t *testing.T) {
	store := &gatedStore{gate: make(chan error)}
	close(store.gate)
	w := newWriter(store)
	for range 2 * unauthenticatedBurst {
		w.Record(t.Context(), Event{Kind: RefreshRefused})
	}
	w.Flush(t.Context())
	w.Record(t.Context(), Event{Kind: LoginFailed})
	w.Close()
	if !store.hasKind(LoginFailed) {
		t.Error("the failed login after the flood was not stored")
	}
	if n := len(store.events); n > unauthenticatedBurst+unauthenticatedBurst/2 {
		t.Errorf("%d events were stored", n)
	}
	if !store.hasKind(EventsLost) {
		t.Error("the lost events were not reported")
	}
}

// TestAwaitedEvents checks that Record of an awaited event returns once the store has it, and that the event is added
// again after a failure of the store, before the later ones.
func TestAwaitedEvents(t *testing.T) {
	store := &gatedStore{gate: make(chan error)}
	w := NewWriter(Config{
		Store: store, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		Awaits: func(e *Event) bool { return e.Kind == Logout },
	})
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		w.Record(t.Context(), Event{Kind: Logout})
	}()
	select {
	case store.gate <- fault.ErrUnavailable:
	case <-recorded:
		t.Error("Record did not wait")
	}
	close(store.gate) // from now on the store works
	<-recorded
	w.Record(t.Context(), Event{Kind: Login})
	w.Close()
	var kinds []Kind
	for _, e := range store.events {
		kinds = append(kinds, e.Kind)
	}
	if _, lost := w.Stats(); lost != 0 || !slices.Equal(kinds, []Kind{Logout, Login}) {
		t.Errorf("stored %q, and %d were lost", kinds, lost)
	}
}
