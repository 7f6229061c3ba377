package api

// LoginRequest is the body of POST /v2/auth/login. The server takes the login from the first non-empty field of Login,
// Email and Username, because the vendor's own pages use all three names.
type LoginRequest struct {
	Login    string `json:"login,omitzero"`
	Email    string `json:"email,omitzero"`
	Username string `json:"username,omitzero"`
	Password string `json:"password"`
}

// RefreshRequest is the body of POST /v2/auth/refresh.
type RefreshRequest struct {
	Token string `json:"token"`
}

// Token is the response of a login and of a refresh.
type Token struct {
	Token     string `json:"token"`     // a JWT (RFC 7519)
	ExpiresAt Time   `json:"expiresAt"` // the exp of the token
	UserID    int64  `json:"userId"`
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
	UserID *int64 `json:"userId,omitzero"` // for administrators; nil is the caller
}

// Session is a live session in a list.
type Session struct {
	SessionID     string `json:"sessionId"`
	Current       bool   `json:"current"` // it is the session of the request
	Created       Time   `json:"created"`
	LastRefreshed *Time  `json:"lastRefreshed"` // nil before the first refresh
	ExpiresAt     Time   `json:"expiresAt"`     // the exp of its current token
	Refreshes     int64  `json:"refreshes"`     // since the sign-in
	IP            string `json:"ip"`            // address of the sign-in
	UserAgent     string `json:"userAgent"`     // User-Agent of the sign-in
}
