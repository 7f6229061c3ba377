package authority

import (
	"context"
	"strings"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// HasAdministrator reports whether the store has a user of level Root.
func (a *Authority) HasAdministrator(ctx context.Context) (bool, error) {
	roots, err := a.store.ListUsers(ctx, UserFilter{Level: Root, Limit: 1})
	return len(roots) > 0, fault.FromStore(err, nil)
}

// CreateFirstAdministrator adds a user of level Root to a store without one. It has no caller, so
// the operator must be known by other means. address is that of the client; "" is the operator at the machine.
func (a *Authority) CreateFirstAdministrator(ctx context.Context, login, passwd, address string) (*User, error) {
	login = strings.TrimSpace(login)
	if err := firstError(checkLogin(login)); err != nil {
		return nil, err
	}
	if !IsEmail(login) {
		return nil, fault.Invalid("login is not a mail address; use one such as admin@example.com.")
	}
	hash, err := a.hashNewPassword(ctx, "password", passwd)
	if err != nil {
		return nil, err
	}
	user, err := a.store.CreateFirstRoot(ctx, User{
		Login: login, Email: login, Level: Root, Status: Active, Tenant: Tenant{NetworkID: 1, MailboxID: 1},
		Created: a.now(),
	}, hash)
	if err != nil {
		return nil, fault.FromStore(err, nil)
	}
	a.audit.Record(ctx, user.event(audit.Event{
		Kind: audit.UserCreated, Address: address, Detail: user.Level.String() + ", the first administrator",
	}))
	return user, nil
}
