package sqlite

import (
	"slices"
	"testing"

	"github.com/pawlauth/pawl/internal/authority/audit"
)

// TestEventsFromBeforeTenants checks that an event without a tenant, as those from before a migration, is found only
// without a filter of the tenant.
func TestEventsFromBeforeTenants(t *testing.T) {
	s, _ := withSessions(t, t.TempDir(), 0)
	event := audit.Event{Kind: audit.Login, User: 1}
	if err := s.AddEvents(t.Context(), []audit.Event{event}); err != nil {
		t.Fatal(err)
	}
	if err := execute(s.writer, "UPDATE event SET network_id = NULL, mailbox_id = NULL"); err != nil {
		t.Fatal(err)
	}
	none := int64(0)
	hidden, hiddenErr := s.Events(t.Context(), audit.Filter{Limit: 9, NetworkID: &none})
	found, err := s.Events(t.Context(), audit.Filter{Limit: 9})
	event.ID = 1
	if hiddenErr != nil || err != nil || len(hidden) != 0 || !slices.Equal(found, []audit.Event{event}) {
		t.Errorf("with a tenant %+v, %v; without one %+v, %v", hidden, hiddenErr, found, err)
	}
}
