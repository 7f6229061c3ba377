package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// setupGate closes the server, except for its health and the console, until the store has an administrator. Without
// one, the store may be the wrong one, and clients must not take its answers for those of the right one.
type setupGate struct {
	needed  func(context.Context) bool
	console string // the path of the console
}

// newSetupGate returns nil if the store has an administrator.
func newSetupGate(c Config) *setupGate {
	if c.NeedsSetup == nil {
		return nil
	}
	return &setupGate{needed: c.NeedsSetup, console: c.Console.Path()}
}

var errNeedsSetup = &fault.Error{
	Kind:       fault.Unavailable,
	RetryAfter: 10 * time.Second,
	Message:    "The server has no administrator yet; create one in the console, or check --data or --store.",
}

// closes reports whether the server must not answer a request yet.
func (g *setupGate) closes(r *http.Request) bool {
	path := r.URL.Path
	if path == healthPath || path == readyPath || path == g.console || strings.HasPrefix(path, g.console+"/") {
		return false
	}
	return g.needed(r.Context())
}
