package client

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pawlauth/pawl/api"
)

// Error is an answer that is not a success. Match it with errors.Is and one of
// the errors below, or take it out with errors.As.
type Error struct {
	Status     int           // of HTTP
	Code       api.ErrorCode // empty if the answer is not Pawl's: of a proxy, say
	Message    string        // what to do about it
	RequestID  string        // finds the request in the server's log
	RetryAfter time.Duration // 0 if the server asks for no wait
	Err        error         // the cause where Middleware could not ask Pawl; nil otherwise
}

// The errors of the contract, to match with errors.Is.
var (
	ErrInvalidParameter   error = &Error{Code: api.CodeInvalidParameter}
	ErrDuplicateObject    error = &Error{Code: api.CodeDuplicateObject}
	ErrInvalidCredentials error = &Error{Code: api.CodeInvalidCredentials}
	ErrInvalidSession     error = &Error{Code: api.CodeInvalidSession}
	ErrInvalidAPIKey      error = &Error{Code: api.CodeInvalidAPIKey}
	ErrAccessDenied       error = &Error{Code: api.CodeAccessDenied}
	ErrObjectNotFound     error = &Error{Code: api.CodeObjectNotFound}
	ErrRateLimitExceeded  error = &Error{Code: api.CodeRateLimitExceeded}
	ErrUnavailable        error = &Error{Code: api.CodeUnavailable}
	ErrInternalError      error = &Error{Code: api.CodeInternalError}
)

// Error gives the server's message, code, if there is one, and status.
func (e *Error) Error() string {
	if e.Status == 0 { // one of the errors above
		return "pawl: " + string(e.Code)
	}
	if e.Code == "" { // not Pawl's
		return fmt.Sprintf("%s (%d)", e.Message, e.Status)
	}
	return fmt.Sprintf("%s (%s, %d)", e.Message, e.Code, e.Status)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error of the contract with e's code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Status == 0 && t.Code == e.Code
}

// notOurs is the error for an answer that has no envelope.
func notOurs(resp *http.Response) *Error {
	return &Error{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id"), RetryAfter: retryAfter(resp.Header),
		Message: "the answer is not Pawl's; is the address right?"}
}

// retryAfter reads Retry-After, in seconds or as a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
