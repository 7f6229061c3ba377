// Package prepare brings logins and passwords into the one form in which Pawl stores and compares them (PRECIS,
// RFC 8265). Every lookup of a login uses Login: the stores, the throttle, and the import.
package prepare

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// ErrLogin is the error of Login for a login not permitted by PRECIS.
var ErrLogin = errors.New("must have letters, digits and punctuation only, as RFC 8265 permits them for user names")

// ErrPassword is the error of Password for a password not permitted by PRECIS.
var ErrPassword = errors.New("must be Unicode text without control characters, as RFC 8265 permits it for passwords")

// Login returns the form of a login for comparison. Two logins with the same form are the same login.
//
// White space around the login is removed, and each part between spaces is prepared as UsernameCaseMapped (RFC 8265,
// 3.3): full-width characters become ordinary ones, upper case becomes lower case, and the rest is composed (NFC). A
// final sigma becomes an ordinary one, because lower case would otherwise depend on the position of the letter.
// The error is ErrLogin; an empty login is one too.
func Login(login string) (string, error) {
	parts := strings.Fields(login)
	if len(parts) == 0 {
		return "", ErrLogin
	}
	for i, part := range parts {
		prepared, err := loginPart(part)
		if err != nil {
			return "", ErrLogin
		}
		parts[i] = prepared
	}
	return strings.Join(parts, " "), nil
}

// LoginKey returns the prepared form of a login, or "" if PRECIS does not permit the login. No user has the key "".
func LoginKey(login string) string {
	key, err := Login(login)
	if err != nil {
		return ""
	}
	return key
}

func loginPart(part string) (string, error) {
	if printableASCII(part) {
		return strings.ToLower(part), nil
	}
	prepared, err := precis.UsernameCaseMapped.String(part)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(prepared, "ς", "σ"), nil
}

// Password returns the form of a password for hashing and comparison: OpaqueString (RFC 8265, 4.2). Spaces of other
// scripts become ordinary ones, and the rest is composed (NFC); case and width stay. The error is ErrPassword; an empty
// password is one too.
func Password(password string) (string, error) {
	if password != "" && printableASCII(password) {
		return password, nil
	}
	if !utf8.ValidString(password) { // the profile would replace the wrong bytes
		return "", ErrPassword
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		return "", ErrPassword
	}
	return prepared, nil
}

// printableASCII reports whether a text needs no preparation beyond lower case.
func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
