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

// APIKey is an API key in a response.
type APIKey struct {
	KeyID      int64      `json:"keyId"`
	UserID     int64      `json:"userId"`
	Key        string     `json:"key"` // the API key itself when it is created; masked in every other response
	Visibility Visibility `json:"visibility"`
	Created    Time       `json:"created"`
}

// CreateAPIKeyRequest is the body of POST /v2/keys/create.
type CreateAPIKeyRequest struct {
	UserID     int64      `json:"userId"`
	Visibility Visibility `json:"visibility"` // VisibilitySession needs a caller with a bearer
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
