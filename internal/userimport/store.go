package userimport

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/password"
)

// mostID is the highest id that an import may give. Readers of JSON take twice as
// much as it is (RFC 8259, section 6): the other half is for who comes after.
const mostID = 1 << 52

// Check returns nil if a user can be imported as it is, else an error
// that names the field, and never has the hash in it. An ID or a Created of 0
// asks for one.
func Check(u authority.UserWithHash) error {
	if err := authority.CheckUser(u.User); err != nil {
		return err
	}
	if u.ID < 0 || u.ID > mostID {
		return fault.Invalid(fmt.Sprintf("userId must be from 1 to %d.", int64(mostID)))
	}
	if err := password.CheckImported(u.PasswordHash); err != nil {
		return fault.Invalid("passwordHash " + err.Error() + ".")
	}
	return nil
}

// Import adds users who come from elsewhere, all of whom CheckImported took and
// no two of whom have one login, in one durable step. Who is there already is
// left as it is. It returns, for each, whether it was added; and an error that
// names what differs from who is there.
func Import(ctx context.Context, store Store, users []authority.UserWithHash, now int64) (added []bool, conflicts []error, err error) {
	timed := make([]authority.UserWithHash, len(users))
	for i, u := range users {
		if u.Created == 0 {
			u.Created = now
		}
		timed[i] = u
	}
	found, err := store.ImportUsers(ctx, timed, audit.Event{At: now, Kind: audit.UserCreated, Detail: "imported"})
	if err != nil {
		return nil, nil, err // as it is: an operator reads it, not a client
	}
	added, conflicts = make([]bool, len(users)), make([]error, len(users))
	for i := range found {
		added[i] = found[i].Added
		if field := differs(users[i], found[i].UserWithHash); !added[i] && field != "" {
			conflicts[i] = conflict(field, found[i].ID)
		}
	}
	return added, conflicts, nil
}

// conflict says that a field keeps a user out; there is the ID of who has the
// login, 0 for nobody.
func conflict(field string, there int64) error {
	if there == 0 {
		return &fault.Error{Kind: fault.Duplicate, Message: field + " is taken by another user."}
	}
	return &fault.Error{Kind: fault.Duplicate, Message: field + " is not that of the user who has the login, and who stays as they are."}
}

// differs names the first field in which a user that is imported differs from
// the one that has the login. A hash that was replaced at a sign-in, or by its
// owner, is no difference.
func differs(u, there authority.UserWithHash) string {
	replaced := password.IsArgon2id(there.PasswordHash)
	switch {
	case u.ID != 0 && u.ID != there.ID:
		return "userId"
	case u.Login != there.Login:
		return "login"
	case u.Email != there.Email:
		return "email"
	case u.FirstName != there.FirstName:
		return "firstName"
	case u.LastName != there.LastName:
		return "lastName"
	case u.NetworkID != there.NetworkID:
		return "networkId"
	case u.MailboxID != there.MailboxID:
		return "mailboxId"
	case u.Level != there.Level:
		return "authLevel"
	case u.Status != there.Status:
		return "status"
	case u.Created != 0 && u.Created != there.Created:
		return "created"
	case u.PasswordHash != there.PasswordHash && !replaced:
		return "passwordHash"
	}
	return ""
}

// Imported is what ImportUsers found or made.
type Imported struct {
	authority.UserWithHash
	Added bool
}

// Store is where users are imported into.
type Store interface {
	// ImportUsers adds each user whose login is free, without regard to case,
	// and whose ID, where it is not 0, is free too; e is recorded of each that
	// it adds, with the user's ID, in the same step. It changes no user that is
	// there. For each one it returns who has the login then, and whether that
	// one was added; no user (ID 0) where the ID is another's. No two of the
	// users may have the same login.
	ImportUsers(ctx context.Context, users []authority.UserWithHash, e audit.Event) ([]Imported, error)
}
