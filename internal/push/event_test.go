package push

import (
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

// TestRevokes checks which events are pushed, and the initiator of each.
func TestRevokes(t *testing.T) {
	session := token.SessionID{1}
	for _, test := range []struct {
		event     audit.Event
		initiator string // "" if the event is not pushed
	}{
		{event: audit.Event{Kind: audit.Logout, User: 1, Caller: 1, Session: session}, initiator: "user"},
		{event: audit.Event{Kind: audit.Theft, User: 1, Session: session}, initiator: "policy"},
		{event: audit.Event{Kind: audit.SessionEnded, User: 1, Caller: 2, Session: session}, initiator: "admin"},
		{event: ended(authority.EndedByCap), initiator: "policy"},
		{event: ended(authority.EndedByIdle)},
		{event: ended(authority.EndedByEnd)},
		{event: audit.Event{Kind: audit.SessionsReset, User: 1, Caller: 1}, initiator: "user"},
		{event: status(authority.Suspended), initiator: "admin"},
		{event: status(authority.Terminated), initiator: "admin"},
		{event: status(authority.Active)},
		{event: audit.Event{Kind: audit.Login, User: 1, Session: session}},
		{event: audit.Event{Kind: audit.RoleChanged, User: 1, Caller: 2}},
		{event: audit.Event{Kind: audit.PasswordChanged, User: 1, Caller: 1}},
	} {
		got := ""
		if Revokes(&test.event) {
			got = initiator(&test.event)
		}
		if got != test.initiator {
			t.Errorf("%+v is by %q, want %q", test.event, got, test.initiator)
		}
	}
}

func ended(by authority.EndReason) audit.Event {
	return audit.Event{Kind: audit.SessionEnded, User: 1, Session: token.SessionID{1}, Detail: by.String()}
}

func status(s authority.Status) audit.Event {
	return audit.Event{Kind: audit.StatusChanged, User: 1, Caller: 2, Detail: s.String()}
}

// TestTokenID checks that the jti is the same for the same event and receiver, and differs for any others.
func TestTokenID(t *testing.T) {
	seen := map[string]bool{}
	for _, receiver := range []string{"a", "b"} {
		for _, event := range []audit.Event{{ID: 1}, {ID: 2}, {ID: 1, At: 1}, {ID: 1, Request: "r"}, {ID: 1, User: 1}} {
			id := tokenID(&authority.Receiver{ID: receiver}, &event)
			if seen[id] || id != tokenID(&authority.Receiver{ID: receiver}, &event) {
				t.Errorf("%s, %+v: %s", receiver, event, id)
			}
			seen[id] = true
		}
	}
}
