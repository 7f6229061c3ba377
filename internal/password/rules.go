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

	"github.com/pawlauth/pawl/internal/prepare"
)

// Rules are the requirements for a new password.
type Rules struct {
	// LongInsteadOfClasses requires 15 characters of any class (NIST SP 800-63B-4, 3.1.1.2) instead of 8 characters
	// with all four classes.
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

// Check returns nil if the password, in the form of prepare.Password, meets the rules. Otherwise the error names the
// missing requirement, worded to follow a field's name ("must have ...").
func (r Rules) Check(password string) error {
	password, err := prepare.Password(password)
	if err != nil {
		return err
	}
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

// MinLength returns the smallest number of characters of a password.
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

// classes are the characters of generated passwords, without those that look alike.
var classes = []string{"abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "!#%+-.:=?@_"}

// Generate returns a random password of the given length, which must be at least 8, with all four classes.
func Generate(length int) string {
	all := strings.Join(classes, "")
	for {
		b := make([]byte, length)
		for i := range b {
			b[i] = all[randomBelow(len(all))]
		}
		if hasAllClasses(string(b)) { // rejection keeps all valid passwords equally likely
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
