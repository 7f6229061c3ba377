package userimport

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/password"
)

// Store is the target of an import.
type Store interface {
	// ImportUsers adds each user whose login is free in its prepared form (prepare.Login). If a user has an external
	// id, it must be free too. If a user has an ID (not 0), the ID must be free too; otherwise the store chooses one.
	// Existing users never change. In the same durable step, ImportUsers records e for each added user, with the user's
	// ID.
	//
	// For each user it returns the user with the login afterwards, and whether that user was added. If the login is
	// free, but the ID or the external id was taken, the returned user is empty. No two users of one call may have
	// the same login.
	ImportUsers(ctx context.Context, users []authority.UserWithHash, e audit.Event) ([]Imported, error)
}

// Imported is the result of ImportUsers for one user.
type Imported struct {
	authority.UserWithHash
	Added bool
}

// Result is the result of Import for one user. Without Added and Conflict the store already has the same user.
type Result struct {
	Added bool
	// Conflict names the field that keeps the user out of the store.
	Conflict error
}

// Import adds users to a store in one durable step, and returns a result for each of them. Existing users never
// change. The users must have passed checkUser, and no two of them may have the same login. Users without a creation
// time get the time now.
func Import(ctx context.Context, store Store, users []authority.UserWithHash, now int64) ([]Result, error) {
	timed := make([]authority.UserWithHash, len(users))
	for i, u := range users {
		if u.Created == 0 {
			u.Created = now
		}
		timed[i] = u
	}
	event := audit.Event{At: now, Kind: audit.UserCreated, Detail: "imported"}
	found, err := store.ImportUsers(ctx, timed, event)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(users))
	for i, existing := range found {
		if existing.Added {
			results[i].Added = true
		} else if message := conflict(users[i], existing.UserWithHash); message != "" {
			results[i].Conflict = fault.New(fault.Duplicate, message)
		}
	}
	return results, nil
}

// conflict returns what keeps a user out of the store, or "" if the existing user is the same.
func conflict(u, existing authority.UserWithHash) string {
	switch field := differingField(u, existing); {
	case existing.ID == 0 && u.ID == 0:
		return "externalId is taken by another user."
	case existing.ID == 0 && u.ExternalID == "":
		return "userId is taken by another user."
	case existing.ID == 0:
		return "userId or externalId is taken by another user."
	case field != "":
		return field + " differs from the existing user with this login, which stays unchanged."
	}
	return ""
}

// differingField returns the first field in which an imported user differs from the existing user with the same login,
// or "". An existing argon2id hash is not a difference, because a sign-in or a new password may have replaced the
// imported hash.
func differingField(u, existing authority.UserWithHash) string {
	switch {
	case u.ID != 0 && u.ID != existing.ID:
		return "userId"
	case u.Login != existing.Login:
		return "login"
	case u.ExternalID != existing.ExternalID:
		return "externalId"
	case u.Email != existing.Email:
		return "email"
	case u.FirstName != existing.FirstName:
		return "firstName"
	case u.LastName != existing.LastName:
		return "lastName"
	case u.NetworkID != existing.NetworkID:
		return "networkId"
	case u.MailboxID != existing.MailboxID:
		return "mailboxId"
	case u.Level != existing.Level:
		return "authLevel"
	case u.Status != existing.Status:
		return "status"
	case u.Created != 0 && u.Created != existing.Created:
		return "created"
	case u.PasswordHash != existing.PasswordHash && !password.IsArgon2id(existing.PasswordHash):
		return "passwordHash"
	}
	return ""
}
