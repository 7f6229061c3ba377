package server_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// TestHostileUserAgent sends commands of terminals, and a mark that reverses the text after it, as the User-Agent.
// Neither the access log nor the list of sessions has them.
func TestHostileUserAgent(t *testing.T) {
	var lines bytes.Buffer // of a handler that locks
	b := start(t, pawltest.WithConfig(func(c *app.Config) {
		c.AccessLog = slog.New(slog.NewJSONHandler(&lines, nil))
	}))
	const agent, want = "Caf\u00e9\u009b31m\u009d0;title\u009c\u202e\xff 1", "Caf\u00e931m0;title 1"
	token := b.expect(200, "", "POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password),
		"User-Agent: "+agent)
	sessions := data[[]api.Session](b, "POST", "/v2/auth/sessions", "{}", bearer(token))
	if got := sessions[0].UserAgent; got != want {
		t.Errorf("the session has %q, want %q", got, want)
	}
	b.Close() // after which there are all lines
	if log := lines.String(); !strings.Contains(log, `"agent":"`+want+`"`) {
		t.Errorf("the access log has %q", log)
	}
}
