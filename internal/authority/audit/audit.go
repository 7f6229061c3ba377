package audit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Kind is what happened.
type Kind string

// The kinds of events: all that there are.
const (
	Login             Kind = "login"
	LoginFailed       Kind = "loginFailed"
	RefreshRefused    Kind = "refreshRefused"
	Theft             Kind = "theft"
	Logout            Kind = "logout"
	SessionEnded      Kind = "sessionEnded"
	SessionsReset     Kind = "sessionsReset"
	APIKeyCreated     Kind = "keyMade"
	APIKeyRemoved     Kind = "keyRemoved"
	UserCreated       Kind = "userMade"
	UserChanged       Kind = "userChanged"
	RoleChanged       Kind = "roleChanged"
	TenantChanged     Kind = "placeChanged"
	StatusChanged     Kind = "statusChanged"
	PasswordChanged   Kind = "passwordChanged"
	PasswordFailed    Kind = "passwordFailed"
	PasswordSet       Kind = "passwordSet"
	SigningKeyCreated Kind = "signingKeyMade"
	SigningKeyRetired Kind = "signingKeyRetired"
	Started           Kind = "started"
	EventsLost        Kind = "eventsLost"
)

// Kinds are the names of the kinds.
var Kinds = []Kind{Login, LoginFailed, RefreshRefused, Theft, Logout, SessionEnded, SessionsReset,
	APIKeyCreated, APIKeyRemoved, UserCreated, UserChanged, RoleChanged, TenantChanged, StatusChanged,
	PasswordChanged, PasswordFailed, PasswordSet, SigningKeyCreated, SigningKeyRetired, Started, EventsLost}

// countedKinds returns the kinds that pawl_audit_events_total counts: all but EventsLost, which stands for events that
// were counted when they happened.
func countedKinds() []string {
	var kinds []string
	for _, kind := range Kinds {
		if kind != EventsLost {
			kinds = append(kinds, string(kind))
		}
	}
	return kinds
}

// ParseKind reads a kind's name.
func ParseKind(field, name string) (Kind, error) {
	if slices.Contains(Kinds, Kind(name)) {
		return Kind(name), nil
	}
	return "", fault.Invalid(field + " must be one of " + strings.Trim(fmt.Sprint(Kinds), "[]") + ".")
}

// Event is something that happened. It never has a secret in it, nor text of a
// caller's choice but for the request id.
type Event struct {
	ID      int64 // the store's
	At      int64 // Unix seconds
	Kind    Kind
	User    int64           // whom it is about; 0: nobody who is known
	Session token.SessionID // zero: none
	Caller  int64           // who did it; 0: nobody who is known
	Address string          // where the request came from; "" for none
	Request string          // id of the request; "" for none
	Detail  string          // a few words
}

// Store keeps events.
type Store interface {
	// AddEvents adds events, all or none, and gives them ids that go up.
	AddEvents(ctx context.Context, events []Event) error
	// Events returns a page of the events that f picks, the newest first.
	Events(ctx context.Context, f Filter) ([]Event, error)
	// SweepEvents removes events from before a time, limit at most, and
	// returns how many it removed.
	SweepEvents(ctx context.Context, before int64, limit int) (removed int, err error)
}

// Filter picks events; zero fields match all.
type Filter struct {
	User     int64
	Kind     Kind
	Session  token.SessionID
	From, To int64 // Unix seconds, both included
	// NetworkID and MailboxID pick events about users who are there now.
	NetworkID *int64
	MailboxID *int64
	Offset    int64
	Limit     int64 // 0 means none are returned
}

// logEvent writes an event to the log.
func logEvent(ctx context.Context, log *slog.Logger, e Event) {
	level := slog.LevelInfo
	if e.Kind == Theft || e.Kind == EventsLost {
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
