package server

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// errorTable is the contract's table of errors: the status and the error code of each kind.
var errorTable = map[fault.Kind]struct {
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
	fault.Internal:           {http.StatusInternalServerError, api.CodeInternalError},
}

// statusError is an error with a status of its own instead of its kind's: 405, 413 or 415.
type statusError struct {
	status int
	err    *fault.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// panicError is the error of a handler after a panic.
type panicError struct{ cause any }

func (e panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.cause, debug.Stack()) }

func invalid(message string) *fault.Error {
	return &fault.Error{Kind: fault.InvalidParameter, Message: message}
}

// explain returns the error for the client, and logs its cause. An error of another type than fault.Error is a bug or a
// failure of the server. Such an error is only logged, and the client gets the request id, so that an operator can
// search the log for it.
func (s *server) explain(w http.ResponseWriter, r *http.Request, err error) *fault.Error {
	known, ok := errors.AsType[*fault.Error](err)
	if !ok {
		s.log.ErrorContext(withRequestID(r.Context(), w), "internal error", "path", r.Pattern, "err", err)
		return &fault.Error{Message: "Internal error; report request id " + responseID(w) + "."}
	}
	if known.Err != nil {
		s.log.WarnContext(withRequestID(r.Context(), w), "request rejected", "path", r.Pattern, "err", known.Err)
	}
	return known
}

// fail answers with an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if isOAuth(r.URL.Path) {
		s.failOAuth(w, r, err)
		return
	}
	known := s.explain(w, r, err)
	if s.hasPage(r.URL.Path) {
		s.console.Reject(w, r, known)
		return
	}
	s.cookies.clearIfEnded(w.Header(), err)
	row := errorTable[known.Kind]
	if special, ok := errors.AsType[*statusError](err); ok {
		row.status = special.status
	}
	if row.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge(r, known.Kind))
	}
	if known.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(known))
	}
	if errors.Is(err, errBodyCompressed) {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110, 15.5.16
	}
	write(w, row.status, api.Envelope[any]{ErrorCode: row.code, Message: known.Message})
}

// retryAfter returns the value of Retry-After, in whole seconds.
func retryAfter(e *fault.Error) string {
	return strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds())))
}

// challenge returns the value of WWW-Authenticate. It names an error only if the client has sent a token (RFC 6750,
// 3.1).
func challenge(r *http.Request, kind fault.Kind) string {
	if kind == fault.InvalidSession && (r.Header.Get("Authorization") != "" || r.URL.Path == refreshPath) {
		return `Bearer realm="pawl", error="invalid_token"`
	}
	return `Bearer realm="pawl"`
}
