package authority

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// by names the caller in an event.
func (c Caller) did(e audit.Event) audit.Event {
	e.Caller, e.Address = c.User.ID, c.Address
	return e
}

// done records what was done, if it was, and passes the error on.
func (a *Authority) done(ctx context.Context, err error, e audit.Event) error {
	if err == nil {
		a.audit.Record(ctx, e)
	}
	return err
}

// Started records that a server begins to serve, and with which settings.
func (a *Authority) Started(ctx context.Context, settings string) {
	a.audit.Record(ctx, audit.Event{Kind: audit.Started, Detail: settings})
}

// recordChange records each thing that a change of a user changed.
func (a *Authority) recordChange(ctx context.Context, c Caller, u *User, change UserChange) {
	add := func(changed bool, kind audit.Kind, detail string) {
		if changed {
			a.audit.Record(ctx, c.did(audit.Event{Kind: kind, User: u.ID, Detail: detail}))
		}
	}
	add(change.Email != nil || change.FirstName != nil || change.LastName != nil, audit.UserChanged, "")
	add(change.Level != nil, audit.RoleChanged, u.Level.String())
	add(change.NetworkID != nil || change.MailboxID != nil, audit.TenantChanged, fmt.Sprintf("network %d, mailbox %d", u.NetworkID, u.MailboxID))
	add(change.Status != nil, audit.StatusChanged, u.Status.String())
}

// Events returns a page of events about the users of a place that the caller
// administers, the newest first; those who stand above the networks see all.
// What was done before the call is there.
func (a *Authority) Events(ctx context.Context, c Caller, f audit.Filter, page int64) ([]audit.Event, error) {
	if !c.User.isAdmin() {
		return nil, errLevel
	}
	if err := checkPage(page, f.Limit); err != nil {
		return nil, err
	}
	if c.User.Level >= NetworkAdmin {
		f.NetworkID = &c.User.NetworkID
	}
	if c.User.Level >= MailboxAdmin {
		f.MailboxID = &c.User.MailboxID
	}
	a.audit.Flush(ctx)
	f.Offset = (page - 1) * f.Limit
	events, err := a.store.Events(ctx, f)
	return events, fault.FromStore(err, nil)
}
