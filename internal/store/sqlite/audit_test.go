package sqlite

import (
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"

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

// TestEventPlans checks that each filter of the events searches the index of its rarest condition, in its order.
func TestEventPlans(t *testing.T) {
	s, ids := withSessions(t, t.TempDir(), 1)
	tenant := int64(1)
	for index, filters := range map[string][]audit.Filter{
		"event_session": {{Session: ids[0]}, {Session: ids[0], Kind: audit.Login, User: 1, NetworkID: &tenant}},
		"event_user":    {{User: 1}, {User: 1, Kind: audit.Login, NetworkID: &tenant, MailboxID: &tenant}},
		"event_kind":    {{Kind: audit.Login}, {Kind: audit.Theft, NetworkID: &tenant, From: 1, To: 2}},
		"event_tenant":  {{NetworkID: &tenant}, {NetworkID: &tenant, Kind: audit.Login, From: 1}},
		"event_mailbox": {{NetworkID: &tenant, MailboxID: &tenant, Before: &audit.Position{At: 1, ID: 1}}},
		"event_network": {
			{NetworkID: &tenant, After: new(int64)},
			{NetworkID: &tenant, Kind: audit.Login, From: 1, After: new(int64)},
			{NetworkID: &tenant, MailboxID: &tenant, To: 1, After: new(int64)},
		},
		"event_at":    {{}, {From: 1, To: 2}},
		"PRIMARY KEY": {{After: new(int64)}, {After: new(int64), Kind: audit.Theft, From: 1}},
	} {
		for _, filter := range filters {
			filter.HighestLevel = 7
			sql, a := selectEvents(&filter)
			plan, err := queryAll(s.writer, "EXPLAIN QUERY PLAN "+sql, a, func(stmt *sqlite.Stmt) string {
				return stmt.ColumnText(3)
			})
			text := strings.Join(plan, "\n")
			if err != nil || !strings.Contains(text, index) || strings.Contains(text, "TEMP B-TREE") {
				t.Errorf("%s: the plan of %s is\n%s, %v", index, sql, text, err)
			}
		}
	}
}
