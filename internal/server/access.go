package server

import (
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/recorder"
)

// accessLog is the handler in front of another one that logs each request.
type accessLog struct {
	*limiter // finds the client's address
	next     http.Handler
	log      *slog.Logger
}

// ServeHTTP answers a request and logs it, even if the handler panics to cut the connection. The log gets nothing of
// the query, the headers and the body but the request id and the start of the user agent.
func (h *accessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := recorder.New(w)
	defer func() {
		client := origin(h.withClientAddress(r))
		h.log.LogAttrs(r.Context(), slog.LevelInfo, "access",
			slog.String("method", recorder.Method(r.Method)),
			slog.String("path", loggedPath(r.URL.Path)),
			slog.Int("status", rec.Status()),
			slog.Float64("ms", float64(time.Since(start).Microseconds())/1000),
			slog.String("address", client.IP),
			slog.String("agent", client.UserAgent),
			slog.String("request", responseID(w)),
		)
		rec.Free()
	}()
	h.next.ServeHTTP(rec, r)
}

const maxLoggedSegments = 8

// plainSegment matches the segments of Pawl's own paths, and ids of users and sessions. Tokens and API keys are longer.
var plainSegment = regexp.MustCompile(`^[A-Za-z0-9._-]{0,32}$`)

// loggedPath returns a path for the log. A client may put a secret into a path by mistake, so that each unusual segment
// becomes an asterisk.
func loggedPath(path string) string {
	segments := strings.SplitN(path, "/", maxLoggedSegments+2)
	for i, segment := range segments {
		if i > maxLoggedSegments || !plainSegment.MatchString(segment) {
			segments[i] = "*"
		}
	}
	return strings.Join(segments, "/")
}
