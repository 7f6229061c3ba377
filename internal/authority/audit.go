package authority

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pawlauth/pawl/token"
)

// EventKind is what happened.
type EventKind string

// The kinds of events: all that there are.
const (
	EventLogin             EventKind = "login"
	EventLoginFailed       EventKind = "loginFailed"
	EventRefreshRefused    EventKind = "refreshRefused"
	EventTheft             EventKind = "theft"
	EventLogout            EventKind = "logout"
	EventSessionEnded      EventKind = "sessionEnded"
	EventSessionsReset     EventKind = "sessionsReset"
	EventKeyMade           EventKind = "keyMade"
	EventKeyRemoved        EventKind = "keyRemoved"
	EventUserMade          EventKind = "userMade"
	EventUserChanged       EventKind = "userChanged"
	EventRoleChanged       EventKind = "roleChanged"
	EventPlaceChanged      EventKind = "placeChanged"
	EventStatusChanged     EventKind = "statusChanged"
	EventPasswordChanged   EventKind = "passwordChanged"
	EventPasswordFailed    EventKind = "passwordFailed"
	EventPasswordSet       EventKind = "passwordSet"
	EventSigningKeyMade    EventKind = "signingKeyMade"
	EventSigningKeyRetired EventKind = "signingKeyRetired"
	EventStarted           EventKind = "started"
	EventEventsLost        EventKind = "eventsLost"
)

// EventKinds are the names of the kinds.
var EventKinds = []EventKind{EventLogin, EventLoginFailed, EventRefreshRefused, EventTheft, EventLogout, EventSessionEnded, EventSessionsReset,
	EventKeyMade, EventKeyRemoved, EventUserMade, EventUserChanged, EventRoleChanged, EventPlaceChanged, EventStatusChanged,
	EventPasswordChanged, EventPasswordFailed, EventPasswordSet, EventSigningKeyMade, EventSigningKeyRetired, EventStarted, EventEventsLost}

// ParseEventKind reads a kind's name.
func ParseEventKind(field, name string) (EventKind, error) {
	if slices.Contains(EventKinds, EventKind(name)) {
		return EventKind(name), nil
	}
	return "", invalid(field + " must be one of " + strings.Trim(fmt.Sprint(EventKinds), "[]") + ".")
}

// Event is something that happened. It never has a secret in it, nor text of a
// caller's choice but for the request id.
type Event struct {
	ID      int64 // the store's
	At      int64 // Unix seconds
	Kind    EventKind
	User    int64           // whom it is about; 0: nobody who is known
	Session token.SessionID // zero: none
	Caller  int64           // who did it; 0: nobody who is known
	Address string          // where the request came from; "" for none
	Request string          // id of the request; "" for none
	Detail  string          // a few words
}

// AuditStore keeps events.
type AuditStore interface {
	// AddEvents adds events, all or none, and gives them ids that go up.
	AddEvents(ctx context.Context, events []Event) error
	// Events returns a page of the events that f picks, the newest first.
	Events(ctx context.Context, f EventFilter) ([]Event, error)
	// SweepEvents removes events from before a time, limit at most, and
	// returns how many it removed.
	SweepEvents(ctx context.Context, before int64, limit int) (removed int, err error)
}

// EventFilter picks events; zero fields match all.
type EventFilter struct {
	User     int64
	Kind     EventKind
	Session  token.SessionID
	From, To int64 // Unix seconds, both included
	// NetworkID and MailboxID pick events about users who are there now.
	NetworkID *int64
	MailboxID *int64
	Offset    int64
	Limit     int64 // 0 means none are returned
}

// record is the one place that events go through: to the log at once, and to
// the store soon.
func (a *Authority) record(ctx context.Context, e Event) {
	e.At = a.now()
	if a.requestID != nil {
		e.Request = a.requestID(ctx)
	}
	logEvent(ctx, a.log, e)
	a.observer.Recorded(e.Kind)
	a.audit.offer(e)
}

func logEvent(ctx context.Context, log *slog.Logger, e Event) {
	level := slog.LevelInfo
	if e.Kind == EventTheft || e.Kind == EventEventsLost {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("kind", string(e.Kind)), slog.Int64("at", e.At)}
	if e.User != 0 {
		attrs = append(attrs, slog.Int64("user", e.User))
	}
	if e.Caller != 0 {
		attrs = append(attrs, slog.Int64("caller", e.Caller))
	}
	if e.Session != (token.SessionID{}) {
		attrs = append(attrs, slog.Any("session", e.Session))
	}
	if e.Address != "" {
		attrs = append(attrs, slog.String("address", e.Address))
	}
	if e.Detail != "" {
		attrs = append(attrs, slog.String("detail", e.Detail))
	}
	log.LogAttrs(ctx, level, "audit", attrs...) // the log's handler adds the request id
}

// by names the caller in an event.
func (e Event) by(c Caller) Event {
	e.Caller, e.Address = c.User.ID, c.Address
	return e
}

// done records what was done, if it was, and passes the error on.
func (a *Authority) done(ctx context.Context, err error, e Event) error {
	if err == nil {
		a.record(ctx, e)
	}
	return err
}

// Started records that a server begins to serve, and with which settings.
func (a *Authority) Started(ctx context.Context, settings string) {
	a.record(ctx, Event{Kind: EventStarted, Detail: settings})
}

// recordChange records each thing that a change of a user changed.
func (a *Authority) recordChange(ctx context.Context, c Caller, u *User, change UserChange) {
	add := func(changed bool, kind EventKind, detail string) {
		if changed {
			a.record(ctx, Event{Kind: kind, User: u.ID, Detail: detail}.by(c))
		}
	}
	add(change.Email != nil || change.FirstName != nil || change.LastName != nil, EventUserChanged, "")
	add(change.Level != nil, EventRoleChanged, u.Level.String())
	add(change.NetworkID != nil || change.MailboxID != nil, EventPlaceChanged, fmt.Sprintf("network %d, mailbox %d", u.NetworkID, u.MailboxID))
	add(change.Status != nil, EventStatusChanged, u.Status.String())
}

// Events returns a page of events about the users of a place that the caller
// administers, the newest first; those who stand above the networks see all.
// What was done before the call is there.
func (a *Authority) Events(ctx context.Context, c Caller, f EventFilter, page int64) ([]Event, error) {
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
	a.audit.flush(ctx)
	f.Offset = (page - 1) * f.Limit
	events, err := a.store.Events(ctx, f)
	return events, storeError(err, nil)
}
