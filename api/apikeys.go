package api

// Visibility is a note about who is meant to see an API key. Only VisibilitySession changes what the key can do.
type Visibility string

// The visibilities of an API key.
const (
	VisibilityPrivate Visibility = "Private"
	VisibilityShared  Visibility = "Shared"
	VisibilityPublic  Visibility = "Public"
	VisibilitySession Visibility = "Session" // the key ends with the session that created it
)

// Scope is what an API key may be used for.
type Scope string

// The scopes of an API key.
const (
	ScopeFull         Scope = "Full"         // acts as its user
	ScopeVerify       Scope = "Verify"       // introspection, /forward-auth and POST /v2/auth/session only
	ScopeOpenSessions Scope = "OpenSessions" // opens sessions for other users, and nothing else
)

// APIKey is an API key in a response.
type APIKey struct {
	KeyID      int64      `json:"keyId"`
	UserID     int64      `json:"userId"`
	Key        string     `json:"key"` // the API key itself when it is created; masked in every other response
	Visibility Visibility `json:"visibility"`
	Created    Time       `json:"created"`
	Scope      Scope      `json:"scope"`
	Name       string     `json:"name"`               // may be empty
	MaxLevel   Level      `json:"maxLevel,omitzero"`  // of ScopeOpenSessions only
	ExpiresAt  *Time      `json:"expiresAt,omitzero"` // nil if the key does not expire
}

// CreateAPIKeyRequest is the body of POST /v2/keys/create.
type CreateAPIKeyRequest struct {
	UserID     int64      `json:"userId"`
	Visibility Visibility `json:"visibility"`     // VisibilitySession needs a caller with a bearer
	Scope      Scope      `json:"scope,omitzero"` // empty is ScopeFull
	// MaxLevel is the highest level of a user whose session a key of ScopeOpenSessions opens. Empty is
	// LevelMailboxUser, or the level of the key's own user if that is lower.
	MaxLevel  Level  `json:"maxLevel,omitzero"`
	Name      string `json:"name,omitzero"`
	ExpiresAt *Time  `json:"expiresAt,omitzero"` // nil is never
}

// ListAPIKeysRequest is the body of POST /v2/keys/list.
type ListAPIKeysRequest struct {
	UserID     int64      `json:"userId"`
	Visibility Visibility `json:"visibility,omitzero"` // empty matches every visibility
}

// GetAPIKeyRequest is the body of POST /v2/keys/get-key.
type GetAPIKeyRequest struct {
	UserID int64 `json:"userId"`
}

// DeleteAPIKeyRequest is the body of DELETE /v2/keys.
type DeleteAPIKeyRequest struct {
	KeyID int64 `json:"keyId"`
}
