package server_test

import (
	"testing"

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
