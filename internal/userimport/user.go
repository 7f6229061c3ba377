package userimport

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/password"
)

// fields has the fields of a line: a user of the API, and the password hash. A field missing from the line is nil or
// "".
type fields struct {
	UserID       *int64 `json:"userId"`
	Login        string `json:"login"`
	ExternalID   string `json:"externalId"`
	Email        string `json:"email"`
	FirstName    string `json:"firstName"`
	LastName     string `json:"lastName"`
	NetworkID    *int64 `json:"networkId"`
	MailboxID    *int64 `json:"mailboxId"`
	AuthLevel    string `json:"authLevel"`
	Status       string `json:"status"`
	Created      string `json:"created"`
	PasswordHash string `json:"passwordHash"`
}

// fieldNames are the names of the fields in a file.
var fieldNames = []string{
	"userId", "login", "externalId", "email", "firstName", "lastName", "networkId", "mailboxId", "authLevel", "status",
	"created", "passwordHash",
}

// canonicalName returns the field meant by a name in a file. The name of an unknown field is returned quoted and cut
// short, because it may be long, or not a name at all.
func canonicalName(name string) string {
	fold := func(name string) string { // as JSON names are compared
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	}
	if i := slices.IndexFunc(fieldNames, func(known string) bool { return fold(known) == fold(name) }); i >= 0 {
		return fieldNames[i]
	}
	const maxChars = 32
	return fmt.Sprintf("%.*q", maxChars, name)
}

func unknownField(field string) error {
	return fmt.Errorf("there is no field %s; the fields are %s", field, strings.Join(fieldNames, ", "))
}

// user returns the user of a line, with defaults for missing fields.
func (f fields) user(tenant authority.Tenant) (authority.UserWithHash, error) {
	u := authority.UserWithHash{
		User: authority.User{
			Login: strings.TrimSpace(f.Login), ExternalID: f.ExternalID, Email: f.Email,
			FirstName: f.FirstName, LastName: f.LastName, Tenant: tenant,
			Level: authority.MailboxUser, Status: authority.Active,
		},
		PasswordHash: f.PasswordHash,
	}
	if u.Email == "" && authority.IsEmail(u.Login) {
		u.Email = u.Login
	}
	if f.NetworkID != nil {
		u.NetworkID = *f.NetworkID
	}
	if f.MailboxID != nil {
		u.MailboxID = *f.MailboxID
	}
	if f.UserID != nil {
		u.ID = *f.UserID
		if u.ID == 0 {
			u.ID = -1 // invalid, because 0 would let the store choose
		}
	}
	var err error
	if f.AuthLevel != "" {
		if u.Level, err = authority.ParseLevel("authLevel", f.AuthLevel); err != nil {
			return u, err
		}
	}
	if f.Status != "" {
		if u.Status, err = authority.ParseStatus("status", f.Status); err != nil {
			return u, err
		}
	}
	if f.Created != "" {
		at, err := time.Parse(time.RFC3339, f.Created)
		if err != nil || at.Unix() <= 0 {
			return u, errors.New("created must be a time such as 2026-05-07T20:00:00Z, after 1970")
		}
		u.Created = at.Unix()
	}
	return u, checkUser(u)
}

// maxID is the highest id an import may set. JSON numbers are exact up to twice as much (RFC 8259, section 6); the
// upper half stays free for users created later.
const maxID = 1 << 52

// checkUser returns an error with the name of the first invalid field. The error never has the hash in it.
func checkUser(u authority.UserWithHash) error {
	if err := authority.CheckUser(u.User); err != nil {
		return err
	}
	if u.ID < 0 || u.ID > maxID {
		return fault.Invalid(fmt.Sprintf("userId must be from 1 to %d.", int64(maxID)))
	}
	if u.PasswordHash == "" && u.ExternalID != "" {
		return nil // the user signs in elsewhere
	}
	if err := password.CheckImported(u.PasswordHash); err != nil {
		return fault.Invalid("passwordHash " + err.Error() + ".")
	}
	return nil
}
