package password

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Rules is what a new password must have.
type Rules struct {
	// LongInsteadOfClasses asks for 15 characters and no classes (NIST SP
	// 800-63B-4, 3.1.1.2), in the place of 8 with all four classes.
	LongInsteadOfClasses bool
}

const (
	minClassed = 8
	minLong    = 15
)

//go:embed common.txt
var commonText string

// common holds the common passwords in lower case.
var common = sync.OnceValue(func() map[string]bool {
	set := make(map[string]bool)
	for line := range strings.Lines(commonText) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			set[strings.ToLower(line)] = true
		}
	}
	return set
})

// Check returns nil if the password is good enough, else an error that says
// what is missing, in words that follow the field's name: "must have ...".
func (r Rules) Check(password string) error {
	if utf8.RuneCountInString(password) < r.MinLength() {
		return fmt.Errorf("must have %d characters or more", r.MinLength())
	}
	if !r.LongInsteadOfClasses && !hasAllClasses(password) {
		return errors.New("must have a lower-case and an upper-case letter, a digit and another character")
	}
	if common()[strings.ToLower(password)] {
		return errors.New("is on the list of common passwords; choose another")
	}
	return nil
}

// MinLength is how many characters a password must have.
func (r Rules) MinLength() int {
	if r.LongInsteadOfClasses {
		return minLong
	}
	return minClassed
}

func hasAllClasses(password string) bool {
	var lower, upper, digit, other bool
	for _, r := range password {
		switch {
		case unicode.IsLower(r):
			lower = true
		case unicode.IsUpper(r):
			upper = true
		case unicode.IsDigit(r):
			digit = true
		default:
			other = true
		}
	}
	return lower && upper && digit && other
}

// The characters of a generated password, without those that look alike.
var classes = []string{"abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "!#%+-.:=?@_"}

// Generate returns a random password of that many characters, at least 8, with
// all four classes.
func Generate(length int) string {
	all := strings.Join(classes, "")
	for {
		b := make([]byte, length)
		for i := range b {
			b[i] = all[randomBelow(len(all))]
		}
		if hasAllClasses(string(b)) { // throwing away keeps every good one as likely
			return string(b)
		}
	}
}

func randomBelow(n int) int64 {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return i.Int64()
}
