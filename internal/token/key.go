package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// Algorithm is a JWS algorithm by its registered name (RFC 7518, 3.1; RFC 8037).
type Algorithm string

// The algorithms of keys.
const (
	HS256 Algorithm = "HS256"
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
	RS256 Algorithm = "RS256"
)

// Algorithms lists the algorithms, the default first.
var Algorithms = []Algorithm{HS256, ES256, EdDSA, RS256}

const (
	hmacSecretBytes = 32 // RFC 7518, 3.2: at least the size of the hash
	// rsaBits is the size of new keys. It has 112 bits of strength, which NIST SP 800-57 part 1 permits until 2030. A
	// signature of 3,072 bits, with 128 bits of strength, takes three times as long.
	rsaBits    = 2048
	minRSABits = 2048 // RFC 7518, 3.3
)

// p256HalfOrder is half the order of P-256. For each ES256 signature (r, s), (r, order−s) is one too. Pawl signs with
// the lower s and rejects the higher one, so that a token has exactly one text.
var p256HalfOrder = new(big.Int).Rsh(elliptic.P256().Params().N, 1)

// Key signs and verifies with one algorithm. A public key only verifies.
type Key struct {
	alg    Algorithm
	id     string // the RFC 7638 thumbprint
	header string // the encoded header and its dot, at the start of every token of this key
	jwk    jose.JSONWebKey

	secret []byte    // HS256
	macs   sync.Pool // HS256: keyed hash.Hash values, ready after Reset
}

// GenerateKey returns a new key from the system's random source.
func GenerateKey(alg Algorithm) (*Key, error) {
	var material any
	var err error
	switch alg {
	case HS256:
		secret := make([]byte, hmacSecretBytes)
		_, err = rand.Read(secret)
		material = secret
	case ES256:
		material, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, material, err = ed25519.GenerateKey(rand.Reader)
	case RS256:
		material, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return nil, fmt.Errorf("token: unknown algorithm %q; use HS256, ES256, EdDSA or RS256", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("token: generate a key: %w", err)
	}
	return newKey(jose.JSONWebKey{Key: material})
}

// ParseJWK parses a JSON Web Key (RFC 7517). The algorithm follows from the key's type. ParseJWK rejects a key whose
// "alg" names another algorithm, and a key whose "use" or "key_ops" exclude signatures (RFC 7517, 4.2 and 4.3).
func ParseJWK(text []byte) (*Key, error) {
	var jwk jose.JSONWebKey
	var meant struct {
		Use        string   `json:"use"`
		Operations []string `json:"key_ops"`
	}
	if jwk.UnmarshalJSON(text) != nil || json.Unmarshal(text, &meant) != nil {
		return nil, errors.New("token: not a valid JSON Web Key (RFC 7517)") // the cause may quote the key
	}
	if meant.Use != "" && meant.Use != "sig" {
		return nil, errors.New(`token: the key's use is not "sig"; use a key for signatures`)
	}
	forSignatures := slices.Contains(meant.Operations, "sign") || slices.Contains(meant.Operations, "verify")
	if meant.Operations != nil && !forSignatures {
		return nil, errors.New("token: the key's key_ops have neither sign nor verify; use a key for signatures")
	}
	key, err := newKey(jwk)
	if err != nil || key.consistent() {
		return key, err
	}
	return nil, errors.New("token: the key's private part does not match its public part")
}

// consistent signs a probe and verifies the signature, which fails if the private part does not match the public one. A
// public key is always consistent.
func (k *Key) consistent() bool {
	if !k.CanSign() {
		return true
	}
	probe := []byte("probe")
	signature, err := k.appendSignature(nil, probe)
	return err == nil && k.verifies(probe, signature[1:])
}

// ParseJWKSet parses {"keys":[...]}, or a single key.
func ParseJWKSet(text []byte) ([]*Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) == 0 {
		set.Keys = []json.RawMessage{text}
	}
	keys := make([]*Key, 0, len(set.Keys))
	for _, one := range set.Keys {
		key, err := ParseJWK(one)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func newKey(jwk jose.JSONWebKey) (*Key, error) {
	alg, err := algorithmOf(jwk.Key)
	if err != nil {
		return nil, err
	}
	if private, ok := jwk.Key.(*rsa.PrivateKey); ok {
		private.Precompute() // go-jose leaves this out, so that each signature would repeat it
	}
	if jwk.Algorithm != "" && jwk.Algorithm != string(alg) {
		return nil, fmt.Errorf("token: the key has alg %q, but its type requires %s", jwk.Algorithm, alg)
	}
	thumbprint, err := thumbprint(jwk)
	if err != nil {
		return nil, fmt.Errorf("token: key thumbprint: %w", err)
	}
	id := base64.RawURLEncoding.EncodeToString(thumbprint)
	jwk.Algorithm = string(alg)
	jwk.KeyID = id
	jwk.Use = "sig"
	key := &Key{alg: alg, id: id, jwk: jwk}
	header := `{"alg":"HS256","typ":"JWT"}` // as the contract prints it
	if alg == HS256 {
		key.secret = jwk.Key.([]byte)
		key.macs.New = func() any { return hmac.New(sha256.New, key.secret) }
	} else {
		header = fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"JWT"}`, alg, id)
	}
	key.header = encoding.EncodeToString([]byte(header)) + "."
	return key, nil
}

// thumbprint returns the key's RFC 7638 thumbprint. For a symmetric key, thumbprint follows section 3.2, because
// go-jose does not support symmetric keys. The thumbprint of a symmetric key appears only in the log and to
// administrators, because it allows guessing the secret offline (section 7), as any token of the key does.
func thumbprint(jwk jose.JSONWebKey) ([]byte, error) {
	secret, ok := jwk.Key.([]byte)
	if !ok {
		return jwk.Thumbprint(crypto.SHA256)
	}
	sum := sha256.Sum256([]byte(`{"k":"` + base64.RawURLEncoding.EncodeToString(secret) + `","kty":"oct"}`))
	return sum[:], nil
}

func algorithmOf(material any) (Algorithm, error) {
	switch k := material.(type) {
	case []byte:
		if len(k) < hmacSecretBytes {
			const text = "token: an HS256 key needs at least %d bytes, this key has %d (RFC 7518, 3.2)"
			return "", fmt.Errorf(text, hmacSecretBytes, len(k))
		}
		return HS256, nil
	case *ecdsa.PrivateKey:
		return ecAlgorithm(k.Curve)
	case *ecdsa.PublicKey:
		return ecAlgorithm(k.Curve)
	case ed25519.PrivateKey, ed25519.PublicKey:
		return EdDSA, nil
	case *rsa.PrivateKey:
		return rsaAlgorithm(&k.PublicKey)
	case *rsa.PublicKey:
		return rsaAlgorithm(k)
	}
	return "", fmt.Errorf("token: a key of type %T cannot sign tokens", material)
}

func ecAlgorithm(curve elliptic.Curve) (Algorithm, error) {
	if curve != elliptic.P256() {
		return "", errors.New("token: an EC key must use the curve P-256")
	}
	return ES256, nil
}

func rsaAlgorithm(k *rsa.PublicKey) (Algorithm, error) {
	if k.N.BitLen() < minRSABits {
		return "", fmt.Errorf("token: an RSA key needs at least %d bits, this key has %d", minRSABits, k.N.BitLen())
	}
	return RS256, nil
}

// ID returns the key's RFC 7638 thumbprint. Tokens carry it as kid, except those of HS256, because the contract fixes
// their header.
func (k *Key) ID() string { return k.id }

// Algorithm returns the key's only algorithm.
func (k *Key) Algorithm() Algorithm { return k.alg }

// CanSign reports whether the key has its private part.
func (k *Key) CanSign() bool { return k.alg == HS256 || !k.jwk.IsPublic() }

// cached reports whether a KeySet caches the key's tokens, see verifiedTokens.
func (k *Key) cached() bool { return k.alg != HS256 }

// MarshalJWK returns the key as a JSON Web Key. If the key can sign, the result is a secret.
func (k *Key) MarshalJWK() ([]byte, error) { return k.jwk.MarshalJSON() }

// Public returns the key's public part. An HS256 key has none: Public returns nil.
func (k *Key) Public() *Key {
	if k.alg == HS256 {
		return nil
	}
	public, _ := newKey(k.jwk.Public())
	return public
}

// SignJWT returns a JWT of another type than a token, such as secevent+jwt, with these claims. No Codec accepts the JWT
// as a token, because its header differs. The key must have its private part, and must not be of HS256.
func (k *Key) SignJWT(typ string, claims []byte) (string, error) {
	if k.alg == HS256 {
		return "", errors.New("token: a key of HS256 is secret, so no other system can verify its JWT")
	}
	header := fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"%s"}`, k.alg, k.id, typ)
	out := append(encoding.AppendEncode(nil, []byte(header)), '.')
	out = encoding.AppendEncode(out, claims)
	out, err := k.appendSignature(out, out)
	return string(out), err
}

// appendSignature appends a dot and the encoded signature of signed to out.
func (k *Key) appendSignature(out, signed []byte) ([]byte, error) {
	if k.alg == HS256 {
		return k.appendMAC(append(out, '.'), signed), nil
	}
	signature, err := k.sign(signed)
	if err != nil {
		return nil, fmt.Errorf("token: sign: %w", err)
	}
	return encoding.AppendEncode(append(out, '.'), signature), nil
}

func (k *Key) sign(signed []byte) ([]byte, error) {
	digest := sha256.Sum256(signed)
	switch key := k.jwk.Key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			return nil, err
		}
		if s.Cmp(p256HalfOrder) > 0 {
			s.Sub(elliptic.P256().Params().N, s)
		}
		out := make([]byte, 64) // RFC 7518, 3.4: r and s, 32 bytes each
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out, nil
	case ed25519.PrivateKey:
		return ed25519.Sign(key, signed), nil
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	}
	return nil, errors.New("the key has no private part")
}

// appendMAC appends the encoded HMAC of signed to out.
func (k *Key) appendMAC(out, signed []byte) []byte {
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write(signed)
	var sum [sha256.Size]byte
	return encoding.AppendEncode(out, mac.Sum(sum[:0]))
}

// verifies reports whether signature is the key's signature of signed. An HMAC is compared in its encoded form, so that
// no second encoding of it is accepted.
func (k *Key) verifies(signed, signature []byte) bool {
	if k.alg == HS256 {
		var want [48]byte
		return subtle.ConstantTimeCompare(k.appendMAC(want[:0], signed), signature) == 1
	}
	raw, err := encoding.DecodeString(string(signature))
	if err != nil || encoding.EncodedLen(len(raw)) != len(signature) {
		return false
	}
	digest := sha256.Sum256(signed)
	public := k.jwk.Key
	if !k.jwk.IsPublic() {
		public = k.jwk.Public().Key
	}
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if len(raw) != 64 {
			return false
		}
		r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
		return s.Cmp(p256HalfOrder) <= 0 && ecdsa.Verify(key, digest[:], r, s)
	case ed25519.PublicKey:
		return len(raw) == ed25519.SignatureSize && ed25519.Verify(key, signed, raw)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], raw) == nil
	}
	return false
}
