// Package api has the types of Pawl's wire contract: the bodies that a client sends, and the responses that it reads.
//
// Each call below /v2 answers with an [Envelope]. Bodies and responses are named after the operations of the OpenAPI
// description, which [OpenAPI] returns. The paths below /oauth2 and /.well-known follow their RFCs instead.
// Package client makes the calls; a program in another module needs this package only for the types.
//
// The package imports nothing but the standard library.
package api

import _ "embed" // for openapi.yaml

// Version is the version of the vendor's REST API that the wire contract follows.
const Version = "2.6"

// MaxBodyBytes is the size of the largest request body that Pawl accepts: 16 KiB. A larger body is a 413.
const MaxBodyBytes = 16 << 10

//go:embed openapi.yaml
var openAPI string

// OpenAPI returns the OpenAPI 3.1 description of every call, in YAML.
func OpenAPI() string { return openAPI }

// Envelope is the form of every response below /v2. A success has an empty ErrorCode. An error has the zero Data,
// which is null on the wire, and a Message that explains what to do.
type Envelope[T any] struct {
	Success   bool      `json:"success"`
	Data      T         `json:"data"`
	ErrorCode ErrorCode `json:"errorCode"`
	Message   string    `json:"message"` // empty on most successes
}

// ErrorCode is the cause of an error, for programs. It is empty on success.
type ErrorCode string

// The error codes, and the HTTP statuses that they come with.
const (
	// CodeInvalidParameter is a field that is missing, has the wrong type, or breaks its rule. The status is 400,
	// 413 for a body that is too large, or 415 for one that is not JSON.
	CodeInvalidParameter ErrorCode = "InvalidParameter"
	// CodeDuplicateObject is a login that another user has (400).
	CodeDuplicateObject ErrorCode = "DuplicateObject"
	// CodeInvalidCredentials is an unknown login, a wrong password, or a user that may not sign in (401). The three
	// are indistinguishable on purpose.
	CodeInvalidCredentials ErrorCode = "InvalidCredentials"
	// CodeInvalidSession is a token that is missing, expired, superseded, revoked, or not Pawl's (401).
	CodeInvalidSession ErrorCode = "InvalidSession"
	// CodeInvalidAPIKey is an API key that is unknown, revoked, or damaged (401).
	CodeInvalidAPIKey ErrorCode = "InvalidAPIKey"
	// CodeAccessDenied is a call that the caller's level does not allow (403).
	CodeAccessDenied ErrorCode = "AccessDenied"
	// CodeObjectNotFound is an unknown path, or an object that does not exist or that the caller may not see (404).
	// It is also a method that a path does not have (405).
	CodeObjectNotFound ErrorCode = "ObjectNotFound"
	// CodeRateLimitExceeded is one attempt too many (429). The header Retry-After has the seconds to wait.
	CodeRateLimitExceeded ErrorCode = "RateLimitExceeded"
	// CodeUnavailable is an unreachable store, or a server at capacity (503). Nothing was changed. The header
	// Retry-After has the seconds to wait.
	CodeUnavailable ErrorCode = "Unavailable"
	// CodeInternalError is a fault of the server (500). The message has the id of the request and nothing else.
	CodeInternalError ErrorCode = "InternalError"
)
