package authority

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/internal/password"
)

// mostID is the highest id that an import may give. Readers of JSON take twice as
// much as it is (RFC 8259, section 6): the other half is for who comes after.
const mostID = 1 << 52

// CheckImported returns nil if a user can be imported as it is, else an error
// that names the field, and never has the hash in it. An ID or a Created of 0
// asks for one.
func CheckImported(u UserRecord) error {
	if err := firstError(checkLogin(u.Login), checkEmail(&u.Email), checkName("firstName", &u.FirstName), checkName("lastName", &u.LastName),
		checkPlace(&u.NetworkID, &u.MailboxID)); err != nil {
		return err
	}
	if u.ID < 0 || u.ID > mostID {
		return invalid(fmt.Sprintf("userId must be from 1 to %d.", int64(mostID)))
	}
	if err := password.CheckImported(u.PasswordHash); err != nil {
		return invalid("passwordHash " + err.Error() + ".")
	}
	return nil
}

// Import adds users who come from elsewhere, all of whom CheckImported took and
// no two of whom have one login, in one durable step. Who is there already is
// left as it is. It returns, for each, whether it was added; and an error that
// names what differs from who is there.
func Import(ctx context.Context, store UserStore, users []UserRecord, now int64) (added []bool, conflicts []error, err error) {
	timed := make([]UserRecord, len(users))
	for i, u := range users {
		if u.Created == 0 {
			u.Created = now
		}
		timed[i] = u
	}
	found, err := store.ImportUsers(ctx, timed, Event{At: now, Kind: EventUserMade, Detail: "imported"})
	if err != nil {
		return nil, nil, err // as it is: an operator reads it, not a client
	}
	added, conflicts = make([]bool, len(users)), make([]error, len(users))
	for i := range found {
		added[i] = found[i].Added
		if field := differs(users[i], found[i].UserRecord); !added[i] && field != "" {
			conflicts[i] = conflict(field, found[i].ID)
		}
	}
	return added, conflicts, nil
}

// conflict says that a field keeps a user out; there is the ID of who has the
// login, 0 for nobody.
func conflict(field string, there int64) error {
	if there == 0 {
		return &Error{Kind: KindDuplicate, Message: field + " is taken by another user."}
	}
	return &Error{Kind: KindDuplicate, Message: field + " is not that of the user who has the login, and who stays as they are."}
}

// differs names the first field in which a user that is imported differs from
// the one that has the login. A hash that was replaced at a sign-in, or by its
// owner, is no difference.
func differs(u, there UserRecord) string {
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
