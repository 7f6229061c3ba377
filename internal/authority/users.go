package authority

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// NewUser describes a user to create. Only the login is required. Without a password, the user cannot sign in with one.
// If NetworkID or MailboxID is nil, the caller's own is used. A zero level is MailboxUser.
type NewUser struct {
	Login, Password, ExternalID, Email, FirstName, LastName string
	NetworkID, MailboxID                                    *int64
	Level                                                   Level
}

// user returns the user to create, with defaults for the missing fields. home is the tenant of the caller.
func (n NewUser) user(home Tenant, now int64) (User, error) {
	u := User{
		Login: strings.TrimSpace(n.Login), ExternalID: n.ExternalID, Email: n.Email,
		FirstName: n.FirstName, LastName: n.LastName,
		Tenant: home.override(n.NetworkID, n.MailboxID),
		Level:  cmp.Or(n.Level, MailboxUser), Status: Active, Created: now,
	}
	return u, CheckUser(u)
}

// CreateUser adds a user to a tenant administered by the caller.
func (a *Authority) CreateUser(ctx context.Context, c Caller, n NewUser) (*User, error) {
	if !c.User.IsAdmin() {
		return nil, errLevel
	}
	u, err := n.user(c.User.Tenant, a.now())
	if err != nil {
		return nil, err
	}
	if err := c.mayAssign(u.Level, u.Tenant); err != nil {
		return nil, err
	}
	hash, err := a.hashIfAny(ctx, "password", n.Password)
	if err != nil {
		return nil, err
	}
	return asCaller(ctx, a, c, func(c Caller) (*User, error) {
		if err := c.mayAssign(u.Level, u.Tenant); err != nil {
			return nil, err
		}
		if err := a.mayRename(c, "", u.ExternalID); err != nil {
			return nil, err
		}
		user, err := a.store.CreateUser(ctx, c.rightsOn(nil), u, hash)
		if err != nil {
			return nil, fault.FromStore(err, nil)
		}
		a.audit.Record(ctx, c.event(user.event(audit.Event{Kind: audit.UserCreated, Detail: user.Level.String()})))
		return user, nil
	})
}

// User returns a user visible to the caller.
func (a *Authority) User(ctx context.Context, c Caller, id int64) (*User, error) {
	if id <= 0 {
		return nil, errUserIDMissing
	}
	return a.visibleUser(ctx, c, id, true)
}

// ListUsers returns a page of users. If the filter has a network or a mailbox, the caller must administer it. Otherwise
// the page has the users of every tenant administered by the caller.
func (a *Authority) ListUsers(ctx context.Context, c Caller, f UserFilter, page int64) ([]User, error) {
	if !c.User.IsAdmin() {
		return nil, errLevel
	}
	if err := checkPage(page, f.Limit); err != nil {
		return nil, err
	}
	if c.User.Level >= NetworkAdmin && f.NetworkID == nil {
		f.NetworkID = &c.User.NetworkID
	}
	if c.User.Level >= MailboxAdmin && f.MailboxID == nil {
		f.MailboxID = &c.User.MailboxID
	}
	if !c.User.administers(c.User.Tenant.override(f.NetworkID, f.MailboxID)) {
		return nil, errTenant
	}
	f.Offset = (page - 1) * f.Limit
	users, err := a.store.ListUsers(ctx, f)
	return users, fault.FromStore(err, nil)
}

// UserByName returns a list of the user with the login or with the external id; one of the two must be empty. The list
// is empty if the user does not exist or the caller may not see it.
func (a *Authority) UserByName(ctx context.Context, c Caller, login, externalID string) ([]User, error) {
	if !c.User.IsAdmin() {
		return nil, errLevel
	}
	if (login == "") == (externalID == "") {
		return nil, fault.Invalid("login or externalId is missing; send one of the two.")
	}
	user, err := a.userByName(ctx, login, externalID)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return []User{}, nil
	case err != nil:
		return nil, fault.FromStore(err, nil)
	case !c.User.administers(user.Tenant):
		return []User{}, nil
	}
	return []User{*user}, nil
}

// userByName returns the user with a login or, if the login is empty, with an external id. The errors are those of the
// store.
func (a *Authority) userByName(ctx context.Context, login, externalID string) (*User, error) {
	if login == "" {
		return a.store.UserByExternalID(ctx, externalID)
	}
	user, _, err := a.store.UserByLogin(ctx, login)
	return user, err
}

// UpdateUser changes the names and the email of the caller, or of a user that the caller may change. An admin of the
// user may also change the external id and, except for their own user, set the status to Active or Suspended.
func (a *Authority) UpdateUser(ctx context.Context, c Caller, id int64, change UserChange) (*User, error) {
	if id <= 0 {
		return nil, errUserIDMissing
	}
	if err := firstError(checkExternalID(change.ExternalID), checkEmail(change.Email),
		checkName("firstName", change.FirstName), checkName("lastName", change.LastName)); err != nil {
		return nil, err
	}
	return asCaller(ctx, a, c, func(c Caller) (*User, error) {
		user, err := a.changeableUser(ctx, c, id, true)
		if err != nil {
			return nil, err
		}
		if (change.ExternalID != nil || change.Status != nil) && !c.User.administers(user.Tenant) {
			return nil, errLevel
		}
		if change.ExternalID != nil {
			if err := a.mayRename(c, user.ExternalID, *change.ExternalID); err != nil {
				return nil, err
			}
		}
		if s := change.Status; s != nil {
			switch {
			case *s != Active && *s != Suspended:
				return nil, fault.Invalid("status must be Active or Suspended.")
			case *s == Suspended && id == c.User.ID:
				return nil, errOwnStatus
			}
		}
		return a.updateUser(ctx, c, user, change)
	})
}

// SetRole changes the level of a user, and the tenant if a network or a mailbox is given. A zero level keeps the
// level.
func (a *Authority) SetRole(
	ctx context.Context, c Caller, id int64, level Level, networkID, mailboxID *int64,
) (*User, error) {
	change := UserChange{NetworkID: networkID, MailboxID: mailboxID}
	if level != 0 {
		change.Level = &level
	}
	if id <= 0 {
		return nil, errUserIDMissing
	}
	if err := checkTenant(networkID, mailboxID); err != nil {
		return nil, err
	}
	return asCaller(ctx, a, c, func(c Caller) (*User, error) {
		user, err := a.changeableUser(ctx, c, id, false)
		if err != nil {
			return nil, err
		}
		newLevel := cmp.Or(level, user.Level)
		if err := c.mayAssign(newLevel, user.Tenant.override(networkID, mailboxID)); err != nil {
			return nil, err
		}
		return a.updateUser(ctx, c, user, change)
	})
}

// TerminateUser terminates a user permanently, and ends all of the user's sessions and API keys.
func (a *Authority) TerminateUser(ctx context.Context, c Caller, id int64) error {
	if id == c.User.ID {
		return errOwnStatus
	}
	terminated := Terminated
	_, err := asCaller(ctx, a, c, func(c Caller) (*User, error) {
		user, err := a.changeableUser(ctx, c, id, false)
		if err != nil {
			return nil, err
		}
		return a.updateUser(ctx, c, user, UserChange{Status: &terminated})
	})
	return err
}

// updateUser changes a user and records an event for each kind of change.
func (a *Authority) updateUser(ctx context.Context, c Caller, target *User, change UserChange) (*User, error) {
	if change.NetworkID != nil || change.MailboxID != nil {
		a.audit.Flush(ctx) // so that the store adds all earlier events to the present tenant
	}
	user, err := a.store.UpdateUser(ctx, c.rightsOn(target), target.ID, change)
	switch {
	case errors.Is(err, fault.ErrLastRoot):
		return nil, errLastRoot
	case err != nil:
		return nil, fault.FromStore(err, errUserNotFound)
	}
	record := func(changed bool, kind audit.Kind, detail string) {
		if changed {
			a.audit.Record(ctx, c.event(user.event(audit.Event{Kind: kind, Detail: detail})))
		}
	}
	record(change.Email != nil || change.FirstName != nil || change.LastName != nil, audit.UserChanged, "")
	record(change.ExternalID != nil, audit.UserChanged, "external id")
	record(change.Level != nil, audit.RoleChanged, user.Level.String())
	record(change.NetworkID != nil || change.MailboxID != nil, audit.TenantChanged,
		fmt.Sprintf("network %d, mailbox %d", user.NetworkID, user.MailboxID))
	record(change.Status != nil, audit.StatusChanged, user.Status.String())
	return user, nil
}

// ResetUser ends every session of a user. If the caller may set the user's password, ResetUser also clears the user's
// failed sign-ins. No other caller clears them, not even the user, because that would allow unlimited guessing.
func (a *Authority) ResetUser(ctx context.Context, c Caller, id int64) error {
	_, err := asCaller(ctx, a, c, func(c Caller) (*User, error) {
		user, err := a.changeableUser(ctx, c, id, true)
		if err != nil {
			return nil, err
		}
		var opts EndOptions
		if c.User.Level <= NetworkAdmin && id != c.User.ID {
			opts.ClearAttempts = new(throttle.HashLogin(user.Login))
		}
		storeCtx, end := a.storeSpan(ctx, "EndSessions")
		_, err = a.store.EndSessions(storeCtx, c.rightsOn(user), id, opts)
		end(err)
		return user, fault.FromStore(err, errUserNotFound)
	})
	return a.recordIfDone(ctx, err, c.event(audit.Event{Kind: audit.SessionsReset, User: id}))
}

// override returns t with the network or the mailbox replaced where one is given.
func (t Tenant) override(networkID, mailboxID *int64) Tenant {
	if networkID != nil {
		t.NetworkID = *networkID
	}
	if mailboxID != nil {
		t.MailboxID = *mailboxID
	}
	return t
}
