package authority

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// event returns an event with the caller as its cause.
func (c Caller) event(e audit.Event) audit.Event {
	e.Caller = c.User.ID
	e.Address = c.Address
	if actor := c.Session.ActorID(); actor != 0 {
		e.Actor = actor
	}
	return e
}

// event returns an event about the user.
func (u *User) event(e audit.Event) audit.Event {
	e.User = u.ID
	e.Tenant = audit.Tenant{NetworkID: u.NetworkID, MailboxID: u.MailboxID, Known: true}
	return e
}

// recordIfDone records the event of a successful call, and returns the call's error.
func (a *Authority) recordIfDone(ctx context.Context, err error, e audit.Event) error {
	if err == nil {
		a.audit.Record(ctx, e)
	}
	return err
}

// recordEnded records the sessions that a store ended by itself.
func (a *Authority) recordEnded(ctx context.Context, ended []EndedSession) {
	for _, e := range endEvents(ended) {
		a.audit.Record(ctx, e)
	}
}

func endEvents(ended []EndedSession) []audit.Event {
	events := make([]audit.Event, len(ended))
	for i, s := range ended {
		events[i] = audit.Event{
			Kind: audit.SessionEnded, User: s.UserID, Session: s.ID, Actor: s.ActorID, Detail: s.Reason.String(),
		}
	}
	return events
}

// Started records the start of a server, with its settings.
func (a *Authority) Started(ctx context.Context, settings string) {
	a.audit.Record(ctx, audit.Event{Kind: audit.Started, Detail: settings})
}

// maxOffset bounds how many events a page number may skip, because the store reads them all. After has no bound.
const maxOffset = 100_000

// Events returns a page of events about the users of the tenants that the caller administers: newest first, or with
// f.After oldest first. An event belongs to the tenant that its user had at that time. Root, TechOps and NetOps get the
// events about the users of all tenants, and also the events about no user. The page has no events about users above
// the caller. It includes every event recorded before the call.
func (a *Authority) Events(ctx context.Context, c Caller, f audit.Filter, page int64) ([]audit.Event, error) {
	if !c.User.IsAdmin() {
		return nil, errLevel
	}
	if err := checkPage(page, f.Limit); err != nil {
		return nil, err
	}
	f.Offset = (page - 1) * f.Limit
	switch {
	case f.After != nil && page > 1:
		return nil, fault.Invalid("pageNo and after exclude each other; send after with the last eventId of a page.")
	case f.Offset > maxOffset:
		return nil, fault.Invalid(fmt.Sprintf("pageNo skips more than %d events; narrow the query with to, "+
			"or read forward with after.", maxOffset))
	}
	f.NetworkID, f.MailboxID = c.administered()
	f.HighestLevel = uint8(c.User.Level)
	a.audit.Flush(ctx)
	events, err := a.store.Events(ctx, f)
	return events, fault.FromStore(err, nil)
}
