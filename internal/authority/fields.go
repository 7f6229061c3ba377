package authority

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/prepare"
)

// The limits of the fields of a user, and of a page.
const (
	maxLogin      = 254 // characters, the length of the longest mail address (RFC 5321)
	maxExternalID = 128 // characters
	maxName       = 100 // characters
	maxPage       = 500 // rows
)

// CheckUser returns nil if the login, external id, email, names and tenant of a user are valid. Otherwise the error is
// of kind fault.InvalidParameter and names the field.
func CheckUser(u User) error {
	return firstError(checkLogin(u.Login), checkExternalID(&u.ExternalID), checkEmail(&u.Email),
		checkName("firstName", &u.FirstName), checkName("lastName", &u.LastName),
		checkTenant(&u.NetworkID, &u.MailboxID))
}

// firstError returns the first non-nil error.
func firstError(errs ...*fault.Error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkLogin(login string) *fault.Error {
	switch {
	case login == "":
		return fault.Invalid("login is missing.")
	case !printable(login, maxLogin):
		return fault.Invalid("login must have 1 to 254 printable characters.")
	}
	if _, err := prepare.Login(login); err != nil {
		return fault.Invalid("login " + err.Error() + ".")
	}
	return nil
}

func checkExternalID(id *string) *fault.Error {
	if id == nil || printable(*id, maxExternalID) {
		return nil
	}
	return fault.Invalid("externalId must have at most 128 printable characters.")
}

// checkEmail accepts an empty email, because a user may have none.
func checkEmail(email *string) *fault.Error {
	if email == nil || *email == "" || IsEmail(*email) {
		return nil
	}
	return fault.Invalid("email is not a mail address; leave it out if the user has none.")
}

// IsEmail reports whether a text is a mail address and nothing else.
func IsEmail(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && printable(text, maxLogin)
}

func checkName(field string, name *string) *fault.Error {
	if name == nil || printable(*name, maxName) {
		return nil
	}
	return fault.Invalid(field + " must have at most 100 printable characters.")
}

func checkTenant(networkID, mailboxID *int64) *fault.Error {
	switch {
	case networkID != nil && *networkID < 0:
		return fault.Invalid("networkId must be 0 or more.")
	case mailboxID != nil && *mailboxID < 0:
		return fault.Invalid("mailboxId must be 0 or more.")
	}
	return nil
}

// NewSearch returns the search for a prefix. Its error names the field search.
func NewSearch(prefix string) (Search, error) {
	prefix = strings.TrimSpace(prefix)
	if !printable(prefix, maxLogin) {
		return Search{}, fault.Invalid("search must have at most 254 printable characters.")
	}
	return Search{
		Login: prepare.LoginKey(prefix), Text: strings.Map(lowerASCII, prefix), ExternalID: prefix,
	}, nil
}

func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		r += 'a' - 'A'
	}
	return r
}

// checkPage checks the number of a page and its length.
func checkPage(page, limit int64) error {
	switch {
	case page < 1 || page > 1<<31:
		return fault.Invalid("pageNo must be 1 or more.")
	case limit < 1 || limit > maxPage:
		return fault.Invalid("recordsPerPage must be from 1 to 500.")
	}
	return nil
}

// printable reports whether a text has at most maxLength characters, all of them printable.
func printable(s string, maxLength int) bool {
	if utf8.RuneCountInString(s) > maxLength {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
