// Package token signs and verifies Pawl's JWTs (RFC 7519): JWS in compact form (RFC 7515) with one fixed header for
// each key and one fixed form of the claims. It is pure: it reads no clock, file or database.
//
// A Codec accepts a token only in the exact form in which a Codec writes it. The header is never parsed, but compared
// with the headers of the KeySet, and the algorithm follows from the Key instead of the token (RFC 8725, 3.1).
package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"
)

// MaxLength is the largest number of bytes of a token that a Codec verifies.
const MaxLength = 4096

// The errors of Verify.
var (
	// ErrMalformed means that the text does not have the form of a JWT.
	ErrMalformed = errors.New("token: malformed")
	// ErrInvalid means that the token is not signed with one of the keys, or has another issuer or audience.
	ErrInvalid = errors.New("token: wrong signature, issuer or audience")
	// ErrExpired means that the token is valid but expired.
	ErrExpired = errors.New("token: expired")
)

var encoding = base64.RawURLEncoding.Strict()

// Codec signs and verifies the tokens of one issuer for one audience. It is safe for concurrent use.
type Codec struct {
	keys             *KeySet
	issuer, audience string
	prefix           string // the claims before "sub": the same in every token
}

// NewCodec returns a codec that signs with the first key and verifies with every key. Each token carries the issuer and
// the audience.
func NewCodec(issuer, audience string, keys *KeySet) *Codec {
	return &Codec{keys: keys, issuer: issuer, audience: audience, prefix: claimsPrefix(issuer, audience)}
}

// Issuer returns the iss of the codec's tokens.
func (codec *Codec) Issuer() string { return codec.issuer }

// Audience returns the aud of the codec's tokens.
func (codec *Codec) Audience() string { return codec.audience }

// buffers holds the scratch space of Sign and Verify, so that neither allocates more than its result.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Sign returns a token with the claims c. It fails if a claim is out of range, or if the random source fails.
func (codec *Codec) Sign(c Claims) (string, error) {
	content := codec.keys.current.Load()
	key := content.keys[0]
	scratch := buffers.Get().(*[]byte)
	defer buffers.Put(scratch)

	payload, err := appendClaims((*scratch)[:0], codec.prefix, c)
	if err != nil {
		return "", err
	}
	start := len(payload)
	out := append(payload, key.header...)
	out = encoding.AppendEncode(out, payload[:start])
	out, err = key.appendSignature(out, out[start:])
	if err != nil {
		return "", err
	}
	*scratch = out
	content.remember(out[start:])
	return string(out[start:]), nil
}

// Verify returns the claims of a token if one of the keys signed it for this issuer and audience and it expires after
// now. The error is ErrMalformed, ErrInvalid or ErrExpired; with ErrExpired, Verify returns the claims too.
func (codec *Codec) Verify(token string, now time.Time) (Claims, error) {
	c, ok := codec.open(token)
	switch {
	case !ok && CheckForm(token) != nil:
		return Claims{}, ErrMalformed
	case !ok:
		return Claims{}, ErrInvalid
	case now.Unix() >= c.Expires:
		return c, ErrExpired
	}
	return c, nil
}

// open returns the claims of a token signed with one of the keys, even if the token has expired.
func (codec *Codec) open(token string) (Claims, bool) {
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 || len(token) > MaxLength {
		return Claims{}, false
	}
	header := codec.keys.verify(token, dot)
	if header == 0 {
		return Claims{}, false
	}
	return codec.decode(token[header:dot])
}

// decode parses the middle part of a token.
func (codec *Codec) decode(part string) (Claims, bool) {
	scratch := buffers.Get().(*[]byte)
	defer buffers.Put(scratch)
	text := append((*scratch)[:0], part...)
	payload, err := encoding.AppendDecode(text, text)
	*scratch = payload
	if err != nil || encoding.EncodedLen(len(payload)-len(part)) != len(part) {
		return Claims{}, false // the length differs if the decoder skipped line breaks
	}
	return parseClaims(payload[len(part):], codec.prefix)
}

// CheckForm returns ErrMalformed unless the text has the form of a JWT: three base64url parts whose first two are JSON
// objects (RFC 7519, 7.2). CheckForm does not verify the signature.
func CheckForm(token string) error {
	parts := strings.SplitN(token, ".", 4)
	if len(parts) != 3 {
		return ErrMalformed
	}
	for _, part := range parts[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		var object map[string]json.RawMessage
		if err != nil || json.Unmarshal(text, &object) != nil || object == nil {
			return ErrMalformed
		}
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || strings.ContainsAny(token, "\r\n") {
		return ErrMalformed
	}
	return nil
}
