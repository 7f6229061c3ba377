package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// readyTimeout is how long the store may take to answer /readyz. Load balancers usually wait longer.
const readyTimeout = 2 * time.Second

// healthy answers /healthz with 200. The answer shows only that the process runs.
func (s *server) healthy(w http.ResponseWriter, _ *http.Request) { writeHealth(w, http.StatusOK, "ok") }

// ready answers /readyz: 200 if the store can be reached and written to, and has an administrator, or else 503.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	err := s.authority.Ready(ctx)
	if s.setup != nil && s.setup.needed(ctx) {
		err = errNeedsSetup
	}
	notReady := err != nil
	if s.notReady.Swap(notReady) != notReady { // log changes only, because any client may call this
		s.log.WarnContext(ctx, "readiness changed", "ready", !notReady, "err", cmp.Or(errors.Unwrap(err), err))
	}
	if notReady {
		w.Header().Set("Retry-After", "1")
		writeHealth(w, http.StatusServiceUnavailable, "unavailable")
		return
	}
	writeHealth(w, http.StatusOK, "ok")
}

func writeHealth(w http.ResponseWriter, status int, word string) {
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["Cache-Control"] = noStore
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"status":"`+word+"\"}\n") // fails only if the client has disconnected
}
