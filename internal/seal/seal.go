// Package seal encrypts small secrets with a master key, so that they can be stored where others can read them. It uses
// AES-256-GCM with the secret's name as additional data.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
)

// KeyBytes is the length of a master key.
const KeyBytes = 32

const prefix = "pawl-sealed:1:" // with the version of the form

// ErrKey means that a text is not a master key.
var ErrKey = errors.New("the master key must be 32 random bytes in base64; make one with: openssl rand -base64 32")

// ErrOpen means that the text was sealed with another key or name, or is damaged.
var ErrOpen = errors.New("sealed with another key, or damaged")

// Box seals and opens with one master key.
type Box struct{ aead cipher.AEAD }

// NewBox returns a box with a master key: KeyBytes bytes in base64, with or without white space around it. The error is
// ErrKey. ErrKey does not quote the text.
func NewBox(text string) (*Box, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != KeyBytes {
		return nil, ErrKey
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Box{aead}, err
}

// NewKey returns a new random master key.
func NewKey() string {
	key := make([]byte, KeyBytes)
	rand.Read(key) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(key)
}

// Sealed reports whether a text has the form of a sealed secret.
func Sealed(text string) bool { return strings.HasPrefix(text, prefix) }

// Seal encrypts a secret. Open needs the same name.
func (b *Box) Seal(name, secret string) string {
	return prefix + base64.RawStdEncoding.EncodeToString(b.aead.Seal(nil, nil, []byte(secret), []byte(name)))
}

// Open decrypts a text returned by Seal for the same name. The error is ErrOpen.
func (b *Box) Open(name, text string) (string, error) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(text, prefix))
	if err != nil {
		return "", ErrOpen
	}
	secret, err := b.aead.Open(nil, nil, raw, []byte(name))
	if err != nil {
		return "", ErrOpen
	}
	return string(secret), nil
}
