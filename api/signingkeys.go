package api

// SigningKeyState is the role of a signing key at the moment of the response.
type SigningKeyState string

// The states of a signing key, in the order of its life.
const (
	SigningKeyPublished SigningKeyState = "Published" // verifiers can have it; it signs later
	SigningKeySigning   SigningKeyState = "Signing"   // signs new tokens
	SigningKeyVerifying SigningKeyState = "Verifying" // signs no more; its tokens are valid until they expire
	SigningKeyRetired   SigningKeyState = "Retired"   // every token of it is rejected
)

// SigningKey describes a signing key, without any part of the key itself. The times of a key from a signing key file
// are nil.
type SigningKey struct {
	KeyID         string          `json:"keyId"`     // RFC 7638 thumbprint; the kid of its tokens
	Algorithm     string          `json:"algorithm"` // HS256, ES256, EdDSA or RS256; empty once it is retired
	State         SigningKeyState `json:"state"`     //
	Published     *Time           `json:"published"`
	SignsFrom     *Time           `json:"signsFrom"`
	RetirableFrom *Time           `json:"retirableFrom"` // expiry of its last token; nil without a successor
	Retired       *Time           `json:"retired"`       // nil until it is retired
}

// RetireSigningKeyRequest is the body of DELETE /v2/signing-keys.
type RetireSigningKeyRequest struct {
	KeyID string `json:"keyId"`
	Now   bool   `json:"now,omitzero"` // retires a leaked key before RetirableFrom, and ends its tokens
}
