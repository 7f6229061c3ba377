package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// readyTimeout is how long the store may take to answer /readyz: less than
// load balancers wait.
const readyTimeout = 2 * time.Second

// healthRoutes are for load balancers, outside the contract: 200 or 503, and
// one word in JSON. They and forwardAuth take any method.
func (s *Server) healthRoutes() {
	s.paths = append(s.paths, "/healthz", "/readyz", forwardPath)
	s.mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { health(w, http.StatusOK, "ok") })
	s.mux.HandleFunc("/readyz", s.ready)
}

// ready says whether requests would be served: the store can be reached and
// written to.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	err := s.authority.Ready(ctx)
	if away := err != nil; s.away.Swap(away) != away { // not each time: anybody may ask
		s.log.WarnContext(ctx, "readiness changed", "ready", !away, "err", cmp.Or(errors.Unwrap(err), err))
	}
	if err != nil {
		w.Header().Set("Retry-After", "1")
		health(w, http.StatusServiceUnavailable, "unavailable")
		return
	}
	health(w, http.StatusOK, "ok")
}

func health(w http.ResponseWriter, status int, word string) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"status":"`+word+"\"}\n") // the client is gone: nobody to tell
}
