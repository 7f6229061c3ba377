// Package api has the types of Pawl's wire contract: the bodies of requests, and the responses.
//
// Each call below /v2 answers with an [Envelope]. Bodies and responses are named after the operations of the OpenAPI
// description (see [OpenAPI]). The paths below /oauth2 and /.well-known follow their RFCs instead. Package client makes
// the calls; a program in another module needs this package only for the types.
//
// The package imports nothing but the standard library.
package api

import _ "embed" // for openapi.yaml

// Version is the version of the vendor's REST API that the wire contract follows.
const Version = "2.6"

// MaxBodyBytes is the size of the largest accepted request body: 16 KiB. A larger body is a 413.
const MaxBodyBytes = 16 << 10

//go:embed openapi.yaml
var openAPI string

// OpenAPI returns the OpenAPI 3.1 description of every call, in YAML.
func OpenAPI() string { return openAPI }

// Envelope is the form of every response below /v2. A success has an empty ErrorCode. An error has the zero Data (null
// on the wire), and a Message that explains what to do.
type Envelope[T any] struct {
	Success   bool      `json:"success"`
	Data      T         `json:"data"`
	ErrorCode ErrorCode `json:"errorCode"`
	Message   string    `json:"message"` // empty on most successes
}

// ErrorCode is the cause of an error, for programs. It is empty on success.
type ErrorCode string

// The error codes and their HTTP statuses.
const (
	// CodeInvalidParameter is a field that is missing, has the wrong type, or breaks its rule. The status is 400, 413
	// for a body above MaxBodyBytes, or 415 for a body in a format other than JSON.
	CodeInvalidParameter ErrorCode = "InvalidParameter"
	// CodeDuplicateObject is the login of another user (400).
	CodeDuplicateObject ErrorCode = "DuplicateObject"
	// CodeInvalidCredentials is an unknown login, a wrong password, or a user without permission to sign in (401). The
	// three are indistinguishable on purpose.
	CodeInvalidCredentials ErrorCode = "InvalidCredentials"
	// CodeInvalidSession is a missing, expired, superseded or revoked token, or a text that is not a token of Pawl
	// (401).
	CodeInvalidSession ErrorCode = "InvalidSession"
	// CodeInvalidAPIKey is an unknown, revoked or damaged API key (401).
	CodeInvalidAPIKey ErrorCode = "InvalidAPIKey"
	// CodeAccessDenied is a call that the caller's level does not allow (403).
	CodeAccessDenied ErrorCode = "AccessDenied"
	// CodeObjectNotFound is an unknown path, or an object that does not exist or is hidden from the caller (404).
	// CodeObjectNotFound is also a method that a path does not have (405).
	CodeObjectNotFound ErrorCode = "ObjectNotFound"
	// CodeRateLimitExceeded is one attempt too many (429). The header Retry-After has the seconds to wait.
	CodeRateLimitExceeded ErrorCode = "RateLimitExceeded"
	// CodeUnavailable is an unreachable store, or a server at capacity (503). Nothing was changed. The header
	// Retry-After has the seconds to wait.
	CodeUnavailable ErrorCode = "Unavailable"
	// CodeInternalError is a fault of the server (500). The message has the id of the request and nothing else.
	CodeInternalError ErrorCode = "InternalError"
)
