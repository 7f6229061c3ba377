// Package audit records what happened to users, sessions and keys. A Writer logs each event, counts it and stores it;
// an Event never has a secret in it.
package audit

import (
	"context"
	"slices"
	"strings"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Kind is what happened.
type Kind string

// The kinds of events.
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
	SigningKeySealed  Kind = "signingKeySealed"
	ReceiverAdded     Kind = "receiverAdded"
	ReceiverRemoved   Kind = "receiverRemoved"
	StoreRestored     Kind = "storeRestored"
	Started           Kind = "started"
	EventsLost        Kind = "eventsLost"
)

// Kinds has all kinds.
var Kinds = []Kind{
	Login, LoginFailed, RefreshRefused, Theft, Logout, SessionEnded, SessionsReset, APIKeyCreated, APIKeyRemoved,
	UserCreated, UserChanged, RoleChanged, TenantChanged, StatusChanged, PasswordChanged, PasswordFailed, PasswordSet,
	SigningKeyCreated, SigningKeyRetired, SigningKeySealed, ReceiverAdded, ReceiverRemoved, StoreRestored, Started,
	EventsLost,
}

// isFrequent reports whether a large share of all events may be of the kind.
func (k Kind) isFrequent() bool {
	switch k {
	case Login, LoginFailed, RefreshRefused, Logout, SessionEnded:
		return true
	}
	return false
}

// ParseKind returns the kind with a name. The error names the field.
func ParseKind(field, name string) (Kind, error) {
	if slices.Contains(Kinds, Kind(name)) {
		return Kind(name), nil
	}
	return "", fault.Invalid(field + " must be one of " + strings.Join(names(Kinds), ", ") + ".")
}

func names(kinds []Kind) []string {
	all := make([]string, len(kinds))
	for i, kind := range kinds {
		all[i] = string(kind)
	}
	return all
}

// Event is something that happened. No field has a secret or text of a client's choice, except Request.
type Event struct {
	ID      int64 // assigned by the store
	At      int64 // Unix seconds
	Kind    Kind
	User    int64           // the user it is about; 0 if there is none
	Tenant  Tenant          // of the user at that time; if it is not known, the store takes the present one
	Session token.SessionID // the session it is about, or the one that SessionsReset has kept; zero if there is none
	Caller  int64           // the user who caused it; 0 if unknown
	Actor   int64           // the user who acts in the session for the session's user; 0 if there is none
	Address string          // where the request came from; may be empty
	Request string          // the request's id; may be empty
	Detail  string          // a few words
	Warning bool            // logged as a warning; not stored
}

// Tenant is the network and the mailbox of a user. It is not known if there is no user, and for events from before Pawl
// kept tenants.
type Tenant struct {
	NetworkID, MailboxID int64
	Known                bool
}

// Store keeps events. Each method is one atomic step, and durable when it returns nil. The only error of the contract
// is fault.ErrUnavailable: the store is unreachable or cannot write.
type Store interface {
	// AddEvents adds all of the events or none, and assigns increasing IDs. An event never appears after one with a
	// higher ID, so that a reader of Filter.After misses none.
	AddEvents(ctx context.Context, events []Event) error
	// Events returns a page of the events selected by f: the newest first, or with f.After the oldest first.
	Events(ctx context.Context, f Filter) ([]Event, error)
	// SweepEvents removes events older than a time, at most limit, and returns how many it removed.
	SweepEvents(ctx context.Context, before int64, limit int) (removed int, err error)
}

// Position is the place of an event in the order of its time and its ID.
type Position struct{ At, ID int64 }

// Filter selects events. A zero field matches all.
type Filter struct {
	User     int64
	Kind     Kind
	Session  token.SessionID
	From, To int64 // Unix seconds, both included
	// After selects the events with a higher ID.
	After *int64
	// Before selects the events that come after this one in the order newest first.
	Before *Position
	// NetworkID and MailboxID select events about users in this network and mailbox at that time.
	NetworkID *int64
	MailboxID *int64
	// HighestLevel leaves out events about users now above this level (authority.Level). Events about no known user
	// stay. 0 is no bound.
	HighestLevel uint8
	Offset       int64
	Limit        int64 // 0 selects none
}

// Lead is the condition of a filter whose index a store searches. The store checks the other conditions row by row.
type Lead int

// The leads.
const (
	InOrder Lead = iota // none: the store reads the events in the order of the page
	BySession
	ByUser
	ByKind
	ByTenant
)

// Lead returns the condition that the fewest events are likely to meet. The filter chooses it, because a store may have
// no statistics.
func (f *Filter) Lead() Lead {
	switch {
	case f.Session != token.SessionID{}:
		return BySession
	case f.User != 0:
		return ByUser
	case f.After != nil && f.NetworkID == nil:
		return InOrder
	case f.Kind != "" && f.After == nil && (f.NetworkID == nil || !f.Kind.isFrequent()):
		return ByKind
	case f.NetworkID != nil:
		return ByTenant
	}
	return InOrder
}
