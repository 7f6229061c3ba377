package api

import "encoding/json"

// LoginRequest is the body of POST /v2/auth/login. The vendor's pages have several forms of it. It has an APIKey, or a
// Password and a login in one of four fields; the server takes the first non-empty one of Login, LoginName, Email and
// Username. A form with APIKey is answered with a [TokenWithSessionKey], one with Email or Username with a [TokenPair],
// and the others with a [Token].
type LoginRequest struct {
	Login     string `json:"login,omitzero"`
	LoginName string `json:"loginName,omitzero"`
	Email     string `json:"email,omitzero"`
	Username  string `json:"username,omitzero"`
	Password  string `json:"password,omitzero"`
	APIKey    string `json:"apiKey,omitzero"`
	// Cookie is for browsers: the token is set as a cookie, and is empty in the response.
	Cookie bool `json:"cookie,omitzero"`
}

// RefreshRequest is the body of POST /v2/auth/refresh. It has the current token in one of the two fields, or in both.
// If both are empty, a browser's cookie has the token. A request with RefreshToken is answered with a [TokenPair],
// others with a [Token].
type RefreshRequest struct {
	Token        string `json:"token,omitzero"`
	RefreshToken string `json:"refreshToken,omitzero"`
}

// Token is the response of a login and of a refresh.
type Token struct {
	Token     string `json:"token"`     // a JWT (RFC 7519)
	ExpiresAt Time   `json:"expiresAt"` // the exp of the token
	UserID    int64  `json:"userId"`
}

// TokenPair is the response of a login with Email or Username, and of a refresh with RefreshToken. Both tokens are the
// same, because a session has one current token.
type TokenPair struct {
	Token
	RefreshToken string `json:"refreshToken"`
}

// TokenWithSessionKey is the response of a login with APIKey. The session key is the token.
type TokenWithSessionKey struct {
	Token
	SessionKey string `json:"sessionKey"`
}

// SessionInfo is the response of POST /v2/auth/session: the caller, as the server has it now.
type SessionInfo struct {
	UserID    int64  `json:"userId"`
	Login     string `json:"login"`
	NetworkID int64  `json:"networkId"`
	MailboxID int64  `json:"mailboxId"`
	AuthLevel Level  `json:"authLevel"`
	ExpiresAt *Time  `json:"expiresAt"` // the exp of the token; nil for a caller with an API key alone
}

// PasswordRequest is the body of PUT /v2/auth/password.
type PasswordRequest struct {
	CurrentPassword     string `json:"currentPassword"`
	NewPassword         string `json:"newPassword"`
	RevokeOtherSessions bool   `json:"revokeOtherSessions,omitzero"` // ends every session except the caller's
}

// VersionInfo is the response of GET /v2/auth/version.
type VersionInfo struct {
	Version string `json:"version"` // the version of the contract, as in Version
	Build   string `json:"build"`   // the version of the server
}

// SessionsRequest is the body of POST /v2/auth/sessions.
type SessionsRequest struct {
	UserID         *int64 `json:"userId,omitzero"`         // for administrators; nil is the caller
	All            bool   `json:"all,omitzero"`            // for administrators: of all users that they may change
	PageNo         *int64 `json:"pageNo,omitzero"`         // from 1; nil is 1
	RecordsPerPage *int64 `json:"recordsPerPage,omitzero"` // at most 500; nil is 100
}

// EndSessionsRequest is the body of POST /v2/auth/sessions/end-all.
type EndSessionsRequest struct {
	ExceptCurrent bool `json:"exceptCurrent,omitzero"` // keeps the session of the request
}

// OpenSessionRequest is the body of POST /v2/auth/sessions/open. Exactly one of UserID, Login and ExternalID is set.
// The response is a Token.
type OpenSessionRequest struct {
	UserID     int64  `json:"userId,omitzero"`
	Login      string `json:"login,omitzero"`
	LoginName  string `json:"loginName,omitzero"` // the login, under the vendor's other name
	ExternalID string `json:"externalId,omitzero"`
	// User is the user to create if there is no user with that login or external id. The fields of an existing user
	// stay as they are. A missing login or external id is that of the request.
	User *CreateUserRequest `json:"user,omitzero"`

	Device    string `json:"device,omitzero"`    // a name for the user's device, at most 64 characters
	IP        string `json:"ip,omitzero"`        // the user's address; empty is that of the request
	UserAgent string `json:"userAgent,omitzero"` // of the user's browser; empty is that of the request

	// Claims is a JSON object of at most 1 KiB. Every token of the session has it as the claim "ext".
	Claims json.RawMessage `json:"claims,omitzero"`

	// TokenLife, IdleLife and SessionLife replace the server's settings of these names, in seconds. They may only be
	// shorter.
	TokenLife   *int64 `json:"tokenLife,omitzero"`
	IdleLife    *int64 `json:"idleLife,omitzero"`
	SessionLife *int64 `json:"sessionLife,omitzero"`

	// ActorID is the user who acts for the session's user, for example in support. The tokens have the claim "act"
	// (RFC 8693, 4.1), and the audit names the actor.
	ActorID *int64 `json:"actorId,omitzero"`
}

// Session is a live session in a list.
type Session struct {
	SessionID     string `json:"sessionId"`
	UserID        int64  `json:"userId"`
	Current       bool   `json:"current"` // it is the session of the request
	Created       Time   `json:"created"`
	LastRefreshed *Time  `json:"lastRefreshed"` // nil before the first refresh
	ExpiresAt     Time   `json:"expiresAt"`     // the exp of its current token
	IdleUntil     Time   `json:"idleUntil"`     // until when its current token can be refreshed
	EndsAt        Time   `json:"endsAt"`        // when it ends; no refresh extends it
	Refreshes     int64  `json:"refreshes"`     // since the sign-in
	IP            string `json:"ip"`            // address of the sign-in
	UserAgent     string `json:"userAgent"`     // User-Agent of the sign-in
	Device        string `json:"device"`        // name of the device; empty if it has none
	ActorID       *int64 `json:"actorId"`       // the user who acts for the session's user; nil if there is none
}
