package api

import "encoding/json"

// Introspection is the response of POST /oauth2/introspect (RFC 7662, 2.2). An inactive token has Active alone, and
// every other field is zero.
type Introspection struct {
	Active    bool   `json:"active"`
	Subject   string `json:"sub"`      // the userId in decimal
	Username  string `json:"username"` // the login
	TokenType string `json:"token_type"`
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	IssuedAt  int64  `json:"iat"` // Unix seconds
	Expires   int64  `json:"exp"` // Unix seconds
	ID        string `json:"jti"` // the session id and the generation
	SessionID string `json:"sid"`
	// AuthLevel, NetworkID and MailboxID are the present ones of the user. Those in the token may be older.
	AuthLevel Level `json:"authLevel"`
	NetworkID int64 `json:"networkId"`
	MailboxID int64 `json:"mailboxId"`

	ExternalID string          `json:"externalId,omitzero"` // the present one of the user; empty if there is none
	Actor      *Actor          `json:"act,omitzero"`        // nil if no user acts for the token's user
	Extra      json.RawMessage `json:"ext,omitzero"`        // OpenSessionRequest.Claims; nil if there are none
}

// Actor is the user who acts for the user of a token (RFC 8693, 4.1).
type Actor struct {
	Subject string `json:"sub"` // the userId in decimal
}

// TokenResponse is the response of POST /oauth2/token (RFC 6749, 5.1). Both tokens are the session's one current token.
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"` // "Bearer"
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`
}

// OAuthError is the response of a failed call below /oauth2 (RFC 6749, 5.2).
type OAuthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// ServerMetadata is the response of GET /.well-known/oauth-authorization-server (RFC 8414, 2).
type ServerMetadata struct {
	Issuer                   string   `json:"issuer"`
	JWKS                     string   `json:"jwks_uri"`
	ResponseTypes            []string `json:"response_types_supported"`
	GrantTypes               []string `json:"grant_types_supported"`
	Token                    string   `json:"token_endpoint"`
	TokenAuthMethods         []string `json:"token_endpoint_auth_methods_supported"`
	Introspection            string   `json:"introspection_endpoint"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	Revocation               string   `json:"revocation_endpoint"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
	Documentation            string   `json:"service_documentation"`
}
