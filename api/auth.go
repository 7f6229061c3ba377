package api

// LoginRequest is the body of POST /v2/auth/login. The login is read from the
// first of Login, Email and Username that is there: the vendor's own pages use
// all three.
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

// Token answers a login and a refresh.
type Token struct {
	Token     string `json:"token"`
	ExpiresAt Time   `json:"expiresAt"`
	UserID    int64  `json:"userId"`
}

// SessionInfo answers POST /v2/auth/session. ExpiresAt is nil for a caller
// that came with a key alone.
type SessionInfo struct {
	UserID    int64  `json:"userId"`
	Login     string `json:"login"`
	NetworkID int64  `json:"networkId"`
	MailboxID int64  `json:"mailboxId"`
	AuthLevel string `json:"authLevel"`
	ExpiresAt *Time  `json:"expiresAt"`
}

// PasswordRequest is the body of PUT /v2/auth/password.
type PasswordRequest struct {
	CurrentPassword     string `json:"currentPassword"`
	NewPassword         string `json:"newPassword"`
	RevokeOtherSessions bool   `json:"revokeOtherSessions,omitzero"`
}

// VersionInfo answers GET /v2/auth/version.
type VersionInfo struct {
	Version string `json:"version"`
	Build   string `json:"build"`
}

// SessionsRequest is the body of POST /v2/auth/sessions; a nil UserID means
// the caller.
type SessionsRequest struct {
	UserID *int64 `json:"userId,omitzero"`
}

// Session is one live session in a list.
type Session struct {
	SessionID     string `json:"sessionId"`
	Current       bool   `json:"current"`
	Created       Time   `json:"created"`
	LastRefreshed *Time  `json:"lastRefreshed"`
	ExpiresAt     Time   `json:"expiresAt"`
	Refreshes     int64  `json:"refreshes"`
	IP            string `json:"ip"`
	UserAgent     string `json:"userAgent"`
}
