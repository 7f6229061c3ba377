package api

// SigningKey is a key that signs tokens, without any part of the key itself.
type SigningKey struct {
	KeyID         string `json:"keyId"`     // its RFC 7638 thumbprint, which is kid in tokens
	Algorithm     string `json:"algorithm"` // empty once it is retired
	State         string `json:"state"`     // Published, Signing, Verifying or Retired
	Published     *Time  `json:"published"` // nil if that was before times were kept
	SignsFrom     *Time  `json:"signsFrom"`
	RetirableFrom *Time  `json:"retirableFrom"` // when its last token is over; nil if no other key follows it
	Retired       *Time  `json:"retired"`       // nil if it is not
}

// RetireSigningKeyRequest is the body of DELETE /v2/signing-keys. Now retires a
// key that leaked, before its tokens are over.
type RetireSigningKeyRequest struct {
	KeyID string `json:"keyId"`
	Now   bool   `json:"now,omitzero"`
}

// Introspection is the answer of POST /oauth2/introspect (RFC 7662, 2.2). Only
// Active is sent of a token that is not.
type Introspection struct {
	Active    bool   `json:"active"`
	Subject   string `json:"sub"`      // the userId
	Username  string `json:"username"` // the login
	TokenType string `json:"token_type"`
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	IssuedAt  int64  `json:"iat"` // Unix seconds
	Expires   int64  `json:"exp"` // Unix seconds
	ID        string `json:"jti"`
	SessionID string `json:"sid"`
	AuthLevel string `json:"authLevel"` // as it is now, as are the two below
	NetworkID int64  `json:"networkId"`
	MailboxID int64  `json:"mailboxId"`
}

// OAuthError is the answer of the paths below /oauth2 on an error (RFC 6749, 5.2).
type OAuthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// ServerMetadata is the answer of GET /.well-known/oauth-authorization-server
// (RFC 8414, 2).
type ServerMetadata struct {
	Issuer                   string   `json:"issuer"`
	JWKS                     string   `json:"jwks_uri"`
	ResponseTypes            []string `json:"response_types_supported"`
	GrantTypes               []string `json:"grant_types_supported"`
	Introspection            string   `json:"introspection_endpoint"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	Revocation               string   `json:"revocation_endpoint"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
	Documentation            string   `json:"service_documentation"`
}
