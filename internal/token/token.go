// Package token is the codec of Pawl's JWTs (RFC 7519): JWS in compact form
// (RFC 7515) with one fixed header for each key and one fixed shape of claims.
//
// A token is accepted only in the exact form in which a Codec writes it. So the
// header is never parsed: it is compared with the headers of the known keys,
// and the algorithm follows from the key, never from the token (RFC 8725, 3.1).
package token

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"
)

// MaxLength is the longest token that is looked at, in bytes.
const MaxLength = 4096

// The errors of Verify.
var (
	// ErrMalformed says that the text does not have the form of a JWT at all.
	ErrMalformed = errors.New("token: not of the form of a JWT")
	// ErrInvalid says that the token was not made by one of the keys, or not
	// for this issuer and audience.
	ErrInvalid = errors.New("token: not ours")
	// ErrExpired says that the token is ours, and its time is over.
	ErrExpired = errors.New("token: expired")
)

var encoding = base64.RawURLEncoding.Strict()

// Codec signs and verifies tokens of one issuer for one audience. It is safe
// for concurrent use.
type Codec struct {
	keys             *KeySet
	issuer, audience string
	prefix           string // the claims before "sub": the same in every token
}

// NewCodec returns a codec that signs with the first key of keys and verifies
// with all of them. The issuer and the audience stand in every token.
func NewCodec(issuer, audience string, keys *KeySet) *Codec {
	return &Codec{keys, issuer, audience, claimsPrefix(issuer, audience)}
}

// Issuer is the iss of the codec's tokens.
func (codec *Codec) Issuer() string { return codec.issuer }

// Audience is the aud of the codec's tokens.
func (codec *Codec) Audience() string { return codec.audience }

// buffers holds the scratch space of Sign and Verify, so that neither makes
// garbage beyond its result.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Sign returns the token that says c. An error means that c has a value that a
// token cannot carry, or that the key's hardware or random source failed.
func (codec *Codec) Sign(c Claims) (string, error) {
	key := codec.keys.signing()
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
	return string(out[start:]), nil
}

// Verify returns what the token says if one of the keys signed it, for this
// issuer and audience, and now is before its exp. The error is ErrForm,
// ErrInvalid or ErrExpired; with ErrExpired the claims are there too.
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

// open returns the claims of a token that one of the keys signed.
func (codec *Codec) open(token string) (Claims, bool) {
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 || len(token) > MaxLength {
		return Claims{}, false
	}
	header := codec.keys.verify(token[:dot], token[dot+1:])
	if header == 0 {
		return Claims{}, false
	}
	return codec.decode(token[header:dot])
}

// decode reads the middle part of a token.
func (codec *Codec) decode(part string) (Claims, bool) {
	scratch := buffers.Get().(*[]byte)
	defer buffers.Put(scratch)
	text := append((*scratch)[:0], part...)
	payload, err := encoding.AppendDecode(text, text)
	*scratch = payload
	if err != nil || encoding.EncodedLen(len(payload)-len(part)) != len(part) {
		return Claims{}, false // the second half: the decoder passes over line breaks
	}
	return parseClaims(payload[len(part):], codec.prefix)
}

// CheckForm returns nil if the text has the form of a JWT: three base64url parts of
// which the first two are JSON objects (RFC 7519, 7.2). It says nothing of who
// made it. The error is ErrForm.
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

// sameText compares in constant time.
func sameText(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
