package authority

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// administers reports whether the user is an admin of a tenant. Root, TechOps and NetOps administer all tenants, a
// NetworkAdmin administers the tenants of its network, and a MailboxAdmin administers its own tenant.
func (u *User) administers(t Tenant) bool {
	switch {
	case u.Level <= NetOps:
		return true
	case u.Level == NetworkAdmin:
		return u.NetworkID == t.NetworkID
	case u.Level == MailboxAdmin:
		return u.Tenant == t
	}
	return false
}

// administered returns the network and the mailbox of the users that an admin administers. A nil one is any.
func (c Caller) administered() (networkID, mailboxID *int64) {
	if c.User.Level >= NetworkAdmin {
		networkID = &c.User.NetworkID
	}
	if c.User.Level >= MailboxAdmin {
		mailboxID = &c.User.MailboxID
	}
	return networkID, mailboxID
}

// IsAdmin reports whether the user is an admin of any tenant.
func (u *User) IsAdmin() bool { return u.Level <= NetworkAdmin || u.Level == MailboxAdmin }

// CheckFollower returns nil if the caller may follow the feed of revocations, which has the sessions of all tenants. An
// API key of VerifyScope needs the level too, because every user can create one.
func (c Caller) CheckFollower() error {
	if c.User.Level <= NetOps {
		return nil
	}
	return errLevel
}

// visibleUser returns a user visible to the caller: one in a tenant administered by the caller or, if self is true, the
// caller itself. Callers who are not admins get access-denied. Admins of another tenant get not-found, so that they
// cannot probe for users.
func (a *Authority) visibleUser(ctx context.Context, c Caller, id int64, self bool) (*User, error) {
	if self && id == c.User.ID {
		return c.User, nil
	}
	if !c.User.IsAdmin() {
		return nil, errLevel
	}
	user, err := a.store.User(ctx, id)
	if err != nil {
		return nil, fault.FromStore(err, errUserNotFound)
	}
	if !c.User.administers(user.Tenant) {
		return nil, errUserNotFound
	}
	return user, nil
}

// changeableUser returns a user that the caller may change: one visible to the caller and not above the caller.
func (a *Authority) changeableUser(ctx context.Context, c Caller, id int64, self bool) (*User, error) {
	user, err := a.visibleUser(ctx, c, id, self)
	if err != nil {
		return nil, err
	}
	if user.Level < c.User.Level {
		return nil, errLevel
	}
	return user, nil
}

// mayAssign returns nil if the caller may give a user this level and tenant.
func (c Caller) mayAssign(level Level, t Tenant) error {
	switch {
	case level < c.User.Level:
		return errLevel
	case !c.User.administers(t):
		return errTenant
	}
	return nil
}
