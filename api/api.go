// Package api holds the types of Pawl's wire contract: what a client sends and
// what it reads. It imports the standard library only.
package api

// Version is the version of the vendor's REST API that the wire contract follows.
const Version = "2.6"

// MaxBodyBytes is the largest request body that Pawl reads, in bytes.
const MaxBodyBytes = 16 << 10

// Envelope is the one form of every answer below /v2.
// On success ErrorCode is empty; on an error Data is null.
type Envelope[T any] struct {
	Success   bool      `json:"success"`
	Data      T         `json:"data"`
	ErrorCode ErrorCode `json:"errorCode"`
	Message   string    `json:"message"`
}

// ErrorCode names what went wrong; it is empty on success.
type ErrorCode string

// The error codes of the contract.
const (
	CodeInvalidParameter   ErrorCode = "InvalidParameter"
	CodeDuplicateObject    ErrorCode = "DuplicateObject"
	CodeInvalidCredentials ErrorCode = "InvalidCredentials"
	CodeInvalidSession     ErrorCode = "InvalidSession"
	CodeInvalidAPIKey      ErrorCode = "InvalidAPIKey"
	CodeAccessDenied       ErrorCode = "AccessDenied"
	CodeObjectNotFound     ErrorCode = "ObjectNotFound"
	CodeRateLimitExceeded  ErrorCode = "RateLimitExceeded"
	CodeUnavailable        ErrorCode = "Unavailable"
	CodeInternalError      ErrorCode = "InternalError"
)

// Messages that a success carries.
const (
	MessageLoggedOut       = "Session terminated."
	MessagePasswordChanged = "Password updated successfully."
)
