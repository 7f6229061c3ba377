package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// TestSessionCap signs in a third time where two sessions are allowed. The session refreshed longest ago ends, and the
// audit has the reason.
func TestSessionCap(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.MaxSessionsPerUser = 2 }))
	first, second := b.login(), b.login()
	b.Clock.Add(1e9)
	first = b.refresh(200, first)
	third := b.login()
	b.session(200, first)
	b.session(401, second)
	b.session(200, third)
	ended := b.audit("kind=sessionEnded", b.admin())
	if len(ended) != 1 || ended[0].UserID == nil || *ended[0].UserID != pawltest.UserID || ended[0].SessionID == nil ||
		ended[0].Detail != "the user signed in again and had too many sessions" {
		t.Errorf("the events of ended sessions are %+v", ended)
	}
}

// TestTimedOutSessions checks that a session that was not refreshed in time, and one that has reached its end, each
// have an event with the reason, once they are swept.
func TestTimedOutSessions(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithIdleLife(time.Hour),
		pawltest.WithSessionLife(90*time.Minute))
	idle, old := b.login(), b.login()
	b.Clock.Add(50 * time.Minute)
	old = b.refresh(200, old)
	live := b.login()
	b.Clock.Add(42 * time.Minute)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.refresh(401, idle)
	b.refresh(401, old)
	b.refresh(200, live)
	reasons := map[string]int{}
	for _, e := range b.audit("kind=sessionEnded", b.admin()) {
		reasons[e.Detail]++
		if e.UserID == nil || *e.UserID != pawltest.UserID || e.SessionID == nil || e.CallerID != nil {
			t.Errorf("%+v", e)
		}
	}
	if len(reasons) != 2 || reasons["not refreshed in time"] != 1 || reasons["reached its end"] != 1 {
		t.Errorf("sessions ended for the reasons %v", reasons)
	}
}

// TestRaceFromElsewhere uses a superseded token within the 10 seconds of a race. The audit warns if it comes from
// another address than the refresh that superseded it.
func TestRaceFromElsewhere(t *testing.T) {
	log := &logBuffer{}
	b := start(t, trusting, log.option())
	refresh := func(status int, token, from string) string {
		t.Helper()
		return b.refresh(status, token, "X-Forwarded-For: "+from)
	}
	const winner, other = "192.0.2.1", "198.51.100.7"
	token := refresh(200, b.login(), winner)
	second := refresh(200, token, "2001:db8::1")
	refresh(401, token, "2001:db8::2") // the same /64
	refresh(401, token, other)
	third := refresh(200, second, winner)
	refresh(401, token, winner)
	refresh(401, second, winner)
	refresh(401, second, other)
	b.session(200, third)
	const (
		race    = "superseded a moment before"
		warning = "warning: superseded a moment before, by a refresh from another address"
	)
	events := b.audit("kind=refreshRefused", b.admin())
	want := []api.Event{
		{Address: "2001:db8::2", Detail: race}, {Address: other, Detail: warning},
		{Address: winner, Detail: race}, {Address: winner, Detail: race}, {Address: other, Detail: warning},
	}
	if len(events) != len(want) {
		t.Fatalf("the audit has %+v", events)
	}
	for i, e := range events {
		if e.Address != want[i].Address || e.Detail != want[i].Detail {
			t.Errorf("event %d is %+v, want %+v", i, e, want[i])
		}
	}
	if n := strings.Count(log.String(), `"level":"WARN","msg":"audit","kind":"refreshRefused"`); n != 2 {
		t.Errorf("the log has %d warnings, want 2", n)
	}
}
