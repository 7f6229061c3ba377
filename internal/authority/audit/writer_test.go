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

// slowStore takes events one batch at a time, when the test lets it.
type slowStore struct {
	Store
	gate   chan error // what AddEvents returns; closed: nil at once
	mu     sync.Mutex // guards events
	events []Event
}

func (s *slowStore) AddEvents(_ context.Context, events []Event) error {
	err := <-s.gate
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, events...)
	}
	return err
}

// TestAuditorNeverWaits: with a store that hangs, calls go on; what does not
// fit is counted, and all that fitted is there after Close.
func TestAuditorNeverWaits(t *testing.T) {
	store := &slowStore{gate: make(chan error)}
	a := NewWriter(Config{Store: store, Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	const offered = 3 * auditQueue
	for range offered {
		a.Record(t.Context(), Event{Kind: Logout})
	}
	close(store.gate)
	a.Close()
	kept, said := 0, false
	for _, e := range store.events {
		if e.Kind == EventsLost {
			said = strings.Contains(e.Detail, "events are in the log only")
		} else {
			kept++
		}
	}
	if kept < auditQueue || kept >= offered || !said {
		t.Errorf("kept %d of %d, said so: %v", kept, offered, said)
	}
}

// TestAuditorAfterAFailure: what a store refuses is counted, and said when it
// is back.
func TestAuditorAfterAFailure(t *testing.T) {
	store := &slowStore{gate: make(chan error, 1)}
	a := NewWriter(Config{Store: store, Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	store.gate <- fault.ErrUnavailable
	close(store.gate) // after the one error it is well
	a.Record(t.Context(), Event{Kind: Login})
	a.Flush(t.Context())
	a.Record(t.Context(), Event{Kind: Logout})
	a.Flush(t.Context())
	a.Close()
	var kinds []string
	for _, e := range store.events {
		kinds = append(kinds, string(e.Kind)+" "+e.Detail)
	}
	slices.Sort(kinds) // the count may be said before or with the next event
	if want := []string{"eventsLost 1 events are in the log only", "logout "}; !slices.Equal(kinds, want) {
		t.Errorf("got %q, want %q", kinds, want)
	}
}

// TestAuditorBoundsStrangers: a flood of refusals does not fill the disk, and
// hides no guess.
func TestAuditorBoundsStrangers(t *testing.T) {
	store := &slowStore{gate: make(chan error)}
	close(store.gate)
	a := NewWriter(Config{Store: store, Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	for range 2 * strangersBurst {
		a.Record(t.Context(), Event{Kind: RefreshRefused})
	}
	a.Flush(t.Context())
	a.Record(t.Context(), Event{Kind: LoginFailed})
	a.Close()
	if !slices.ContainsFunc(store.events, func(e Event) bool { return e.Kind == LoginFailed }) {
		t.Error("a guess after the flood is missing")
	}
	if n := len(store.events); n > strangersBurst+strangersBurst/2 {
		t.Errorf("%d events were kept", n)
	}
	if !slices.ContainsFunc(store.events, func(e Event) bool { return e.Kind == EventsLost }) {
		t.Error("nobody says that events are missing")
	}
}
