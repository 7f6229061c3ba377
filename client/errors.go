package client

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pawlauth/pawl/api"
)

// Error is an error response of the server. It matches the Err variable of its code with errors.Is; errors.As or
// errors.AsType returns the Error itself.
type Error struct {
	Status     int           // the HTTP status
	Code       api.ErrorCode // empty if the response is not from Pawl, for example from a proxy
	Message    string        // the server's explanation and advice
	RequestID  string        // the X-Request-Id of the response, as in the server's log; may be empty
	RetryAfter time.Duration // the wait requested by the server; 0 if none
	Err        error         // the cause, if Middleware could not ask Pawl; otherwise nil
}

// The errors of the contract, for errors.Is. The codes of package api describe when each one occurs.
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

// Error returns the message, the code (unless it is empty) and the status.
func (e *Error) Error() string {
	switch {
	case e.Status == 0: // one of the variables above
		return "pawl: " + string(e.Code)
	case e.Code == "":
		return fmt.Sprintf("%s (%d)", e.Message, e.Status)
	}
	return fmt.Sprintf("%s (%s, %d)", e.Message, e.Code, e.Status)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the Err variable of e's code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Status == 0 && t.Code == e.Code
}

const notPawl = "the response is not from Pawl; is the address right?"

// errorOf returns the error of a response.
func errorOf(resp *http.Response, code api.ErrorCode, message string) *Error {
	return &Error{
		Status: resp.StatusCode, Code: code, Message: message,
		RequestID: resp.Header.Get("X-Request-Id"), RetryAfter: retryAfter(resp.Header),
	}
}

// retryAfter returns the Retry-After of a response, given in seconds or as a date (RFC 9110, 10.2.3). It returns 0 if
// the header is missing or malformed.
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
