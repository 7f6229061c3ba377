package token

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxExtraSize  = 1024 // bytes of the canonical form
	maxExtraDepth = 8    // objects and arrays within each other, with the outermost one
)

// reservedNames are the registered claims of RFC 7519 and the other claims of a token. A custom claim with one of these
// names could be mistaken for the real one.
var reservedNames = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti",
	"sid", "authLevel", "networkId", "mailboxId", "externalId", "act", "cookie", "ext",
}

// CanonicalExtra checks custom claims, and returns the text that every token with these claims has as its claim "ext".
// The claims must be one JSON object of at most 1 KiB, with at most 8 levels, and without duplicate names or the names
// of a token's own claims. The result is in the form of RFC 8785, but integers keep all of their digits.
func CanonicalExtra(text []byte) (string, error) {
	if len(text) > 4*maxExtraSize {
		return "", errTooLarge
	}
	value := jsontext.Value(bytes.Clone(text))
	if err := value.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return "", errors.New("claims has the same name twice; send each name once")
		}
		return "", errors.New("claims is not valid JSON; send one JSON object in UTF-8")
	}
	if value.Kind() != '{' {
		return "", errors.New("claims is not an object; send one JSON object")
	}
	if len(value) > maxExtraSize {
		return "", errTooLarge
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(value))
	for {
		name, err := decoder.ReadToken()
		if err != nil {
			return string(value), nil // the whole object was read
		}
		depth := decoder.StackDepth()
		if depth > maxExtraDepth {
			return "", fmt.Errorf("claims is nested too deeply; use at most %d levels", maxExtraDepth)
		}
		if kind, length := decoder.StackIndex(depth); depth == 1 && kind == '{' && length%2 == 1 &&
			slices.Contains(reservedNames, name.String()) {
			return "", fmt.Errorf("claims must not have the names %s", strings.Join(reservedNames, ", "))
		}
	}
}

var errTooLarge = fmt.Errorf("claims is too large; use at most %d bytes", maxExtraSize)
