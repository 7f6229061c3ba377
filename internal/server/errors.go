package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// answers is the contract's table of errors.
var answers = map[fault.Kind]struct {
	status int
	code   api.ErrorCode
}{
	fault.InvalidParameter:   {http.StatusBadRequest, api.CodeInvalidParameter},
	fault.Duplicate:          {http.StatusBadRequest, api.CodeDuplicateObject},
	fault.InvalidCredentials: {http.StatusUnauthorized, api.CodeInvalidCredentials},
	fault.InvalidSession:     {http.StatusUnauthorized, api.CodeInvalidSession},
	fault.InvalidAPIKey:      {http.StatusUnauthorized, api.CodeInvalidAPIKey},
	fault.AccessDenied:       {http.StatusForbidden, api.CodeAccessDenied},
	fault.NotFound:           {http.StatusNotFound, api.CodeObjectNotFound},
	fault.RateLimited:        {http.StatusTooManyRequests, api.CodeRateLimitExceeded},
	fault.Unavailable:        {http.StatusServiceUnavailable, api.CodeUnavailable},
}

// statusError is an error whose status is another than its kind's: 405, 413, 415.
type statusError struct {
	status int
	err    *fault.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

type panicError struct{ cause any }

func (e panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.cause, debug.Stack()) }

// fail answers with an error. What is not an authority.Error is our fault: the
// log has it, and the client gets the request id and nothing else.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if ofOAuth(r.URL.Path) {
		s.failOAuth(w, r, err)
		return
	}
	known, ok := errors.AsType[*fault.Error](err)
	if !ok {
		s.log.ErrorContext(withRequestID(r.Context(), w), "internal error", "path", r.Pattern, "err", err)
		write(w, http.StatusInternalServerError, api.Envelope[any]{ErrorCode: api.CodeInternalError,
			Message: "Something went wrong on our side; report request id " + answerID(w) + "."})
		return
	}
	if known.Err != nil {
		s.log.WarnContext(withRequestID(r.Context(), w), "request refused", "path", r.Pattern, "err", known.Err)
	}
	a := answers[known.Kind]
	status := a.status
	if special, ok := errors.AsType[*statusError](err); ok {
		status = special.status
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge(r, known.Kind))
	}
	if known.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(known))
	}
	write(w, status, api.Envelope[any]{ErrorCode: a.code, Message: known.Message})
}

// retryAfter is the header's value, in whole seconds.
func retryAfter(e *fault.Error) string {
	return strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds())))
}

// challenge is WWW-Authenticate; it has an error only where a token was sent
// (RFC 6750, 3.1).
func challenge(r *http.Request, kind fault.Kind) string {
	if kind == fault.InvalidSession && (r.Header.Get("Authorization") != "" || r.URL.Path == "/v2/auth/refresh") {
		return `Bearer realm="pawl", error="invalid_token"`
	}
	return `Bearer realm="pawl"`
}

type requestIDKey struct{}

// setRequestID keeps a well-formed X-Request-Id of the caller's, and makes one
// where there is none. The answer's header is where it is read from.
func setRequestID(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if !wellFormedID(id) {
		id = rand.Text()
	}
	w.Header()["X-Request-Id"] = []string{id}
}

func answerID(w http.ResponseWriter) string { return w.Header().Get("X-Request-Id") }

// withRequestID gives the context the id of the answer, for the log.
func withRequestID(ctx context.Context, w http.ResponseWriter) context.Context {
	return context.WithValue(ctx, requestIDKey{}, answerID(w))
}

// RequestID is the id of the request that ctx is of, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// wellFormedID takes 1 to 128 letters, digits and . _ - : what is safe in a
// log and a header.
func wellFormedID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for _, ch := range []byte(id) {
		letter := (ch|0x20) >= 'a' && (ch|0x20) <= 'z'
		digit := ch >= '0' && ch <= '9'
		if !letter && !digit && ch != '.' && ch != '_' && ch != '-' {
			return false
		}
	}
	return true
}

// LogHandler adds the request id of the context to each record.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestID(ctx); id != "" {
		record.AddAttrs(slog.String("request", id))
	}
	return h.Handler.Handle(ctx, record)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
