package api

// EventKind is the kind of an event in the audit.
type EventKind string

// The kinds of events.
const (
	EventLogin             EventKind = "login"
	EventLoginFailed       EventKind = "loginFailed"
	EventRefreshRefused    EventKind = "refreshRefused"
	EventTheft             EventKind = "theft" // a superseded token ended its session
	EventLogout            EventKind = "logout"
	EventSessionEnded      EventKind = "sessionEnded"  // one session, by its id, its times, or the cap
	EventSessionsReset     EventKind = "sessionsReset" // every session of a user
	EventAPIKeyCreated     EventKind = "keyMade"
	EventAPIKeyRemoved     EventKind = "keyRemoved"
	EventUserCreated       EventKind = "userMade"
	EventUserChanged       EventKind = "userChanged" // names or email
	EventRoleChanged       EventKind = "roleChanged"
	EventTenantChanged     EventKind = "placeChanged"
	EventStatusChanged     EventKind = "statusChanged"
	EventPasswordChanged   EventKind = "passwordChanged" // by the user
	EventPasswordFailed    EventKind = "passwordFailed"  // by the user, with a wrong current password
	EventPasswordSet       EventKind = "passwordSet"     // by an administrator
	EventSigningKeyCreated EventKind = "signingKeyMade"
	EventSigningKeyRetired EventKind = "signingKeyRetired"
	EventSigningKeySealed  EventKind = "signingKeySealed" // with the master key, at a start
	EventReceiverAdded     EventKind = "receiverAdded"
	EventReceiverRemoved   EventKind = "receiverRemoved"
	EventStoreRestored     EventKind = "storeRestored" // from a backup; every session was ended
	EventStarted           EventKind = "started"
	EventEventsLost        EventKind = "eventsLost" // the store lacks some events; the server's log has them
)

// Event is an event in the response of GET /v2/audit.
type Event struct {
	EventID   int64     `json:"eventId"`
	Time      Time      `json:"time"`
	Kind      EventKind `json:"kind"`
	UserID    *int64    `json:"userId"`    // the affected user; nil if unknown
	SessionID *string   `json:"sessionId"` // nil without a session
	CallerID  *int64    `json:"callerId"`  // the acting user; nil if unknown
	Address   string    `json:"address"`   // the client's IP address; empty if unknown
	RequestID string    `json:"requestId"` // the X-Request-Id of the request; empty without a request
	Detail    string    `json:"detail"`    // a few words for people; may be empty
	// ActorID is the user who acts in the session for the session's user (OpenSessionRequest.ActorID); nil if there is
	// none.
	ActorID *int64 `json:"actorId,omitzero"`
}

// AuditRequest is the query of GET /v2/audit. A zero filter matches every event visible to the caller. After excludes
// PageNo.
type AuditRequest struct {
	UserID         int64
	Kind           EventKind
	SessionID      string
	From           Time   // the earliest time, included
	To             Time   // the latest time, included
	After          *int64 // selects the events after the one with this id, oldest first; 0 is before the first event
	PageNo         int64  // from 1; 0 is 1
	RecordsPerPage int64  // at most 500; 0 is 25
}
