package authority

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// administers reports whether a user of this level and place is an admin of p:
// Root, TechOps and NetOps anywhere, a NetworkAdmin in its network, a
// MailboxAdmin in its mailbox.
func (u *User) administers(p Tenant) bool {
	switch {
	case u.Level <= NetOps:
		return true
	case u.Level == NetworkAdmin:
		return u.NetworkID == p.NetworkID
	case u.Level == MailboxAdmin:
		return u.Tenant == p
	}
	return false
}

// isAdmin reports whether the user is an admin of any place.
func (u *User) isAdmin() bool { return u.Level <= NetworkAdmin || u.Level == MailboxAdmin }

// visible returns the user of that id if the caller may see them: as an admin
// of the place or, where self allows it, as that user. Who is no admin at all
// learns that; an admin of another place learns nothing.
func (a *Authority) visible(ctx context.Context, c Caller, id int64, self bool) (*User, error) {
	if self && id == c.User.ID {
		return c.User, nil
	}
	if !c.User.isAdmin() {
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

// changeable returns the user if the caller may change them: visible, and not
// above the caller.
func (a *Authority) changeable(ctx context.Context, c Caller, id int64, self bool) (*User, error) {
	user, err := a.visible(ctx, c, id, self)
	if err != nil {
		return nil, err
	}
	if user.Level < c.User.Level {
		return nil, errLevel
	}
	return user, nil
}

// again returns the caller as it is now, for a check of rights after slow work:
// a caller who was suspended or signed out meanwhile may do nothing any more.
func (a *Authority) again(ctx context.Context, c Caller) (Caller, error) {
	user, err := a.store.User(ctx, c.User.ID)
	if err != nil {
		return c, fault.FromStore(err, errSession)
	}
	if !user.Status.MaySignIn() {
		return c, errSession
	}
	if c.Session != nil {
		if _, err := a.readSession(ctx, c.Session.ID); err != nil {
			return c, fault.FromStore(err, errSession)
		}
	}
	return Caller{user, c.Session, c.Address}, nil
}

// mayGive returns nil if the caller may put someone at this level and place.
func (c Caller) mayGive(level Level, p Tenant) error {
	switch {
	case level < c.User.Level:
		return errLevel
	case !c.User.administers(p):
		return errPlace
	}
	return nil
}
