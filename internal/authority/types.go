// Package authority is the domain of Pawl: users, keys, sessions, who may do
// what, and the one exchange that the rest exists for, Refresh. It knows
// nothing of HTTP, and keeps its state in a Store.
//
// Times are Unix seconds throughout, as in a JWT.
package authority

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Level is what a user may do; a smaller value stands higher.
type Level uint8

// The levels, highest first.
const (
	Root Level = iota + 1
	TechOps
	NetOps
	NetworkAdmin
	NetworkUser
	MailboxAdmin
	MailboxUser
	TPUser
	General
)

// Status is where a user stands in its life.
type Status uint8

// The statuses.
const (
	Development Status = iota + 1
	Active
	Preproduction
	Suspended
	Terminated
)

// Visibility is who is meant to see a key.
type Visibility uint8

// The visibilities. A SessionOnly dies with the session that it was made in.
const (
	Private Visibility = iota + 1
	Shared
	Public
	SessionOnly
)

var (
	levelNames      = []string{"", "Root", "TechOps", "NetOps", "NetworkAdmin", "NetworkUser", "MailboxAdmin", "MailboxUser", "TPUser", "General"}
	statusNames     = []string{"", "Development", "Active", "Preproduction", "Suspended", "Terminated"}
	visibilityNames = []string{"", "Private", "Shared", "Public", "Session"}
)

func (l Level) String() string      { return nameOf(levelNames, int(l)) }
func (s Status) String() string     { return nameOf(statusNames, int(s)) }
func (v Visibility) String() string { return nameOf(visibilityNames, int(v)) }

// MarshalText gives the name, for logs.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// MarshalText gives the name, for logs.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func nameOf(names []string, i int) string {
	if i <= 0 || i >= len(names) {
		return fmt.Sprintf("unknown(%d)", i)
	}
	return names[i]
}

// parse finds name among names; the error names the field and what it takes.
func parse(field, name string, names []string) (int, error) {
	if i := slices.Index(names, name); i > 0 {
		return i, nil
	}
	return 0, fault.Invalid(fmt.Sprintf("%s must be one of %s.", field, strings.Join(names[1:], ", ")))
}

// ParseLevel reads a level's name.
func ParseLevel(field, name string) (Level, error) {
	i, err := parse(field, name, levelNames)
	return Level(i), err
}

// ParseStatus reads a status's name.
func ParseStatus(field, name string) (Status, error) {
	i, err := parse(field, name, statusNames)
	return Status(i), err
}

// ParseVisibility reads a visibility's name.
func ParseVisibility(field, name string) (Visibility, error) {
	i, err := parse(field, name, visibilityNames)
	return Visibility(i), err
}

// MaySignIn reports whether a user of this status can sign in, refresh, and
// use a key.
func (s Status) MaySignIn() bool { return s < Suspended }

// Tenant is where a user belongs: a mailbox in a network.
type Tenant struct {
	NetworkID int64
	MailboxID int64
}

// User is one user. A *User that a Store gives out is shared and never changed.
type User struct {
	ID        int64
	Login     string
	Email     string
	FirstName string
	LastName  string
	Tenant
	Level   Level
	Status  Status
	Created int64 // Unix seconds
}

// IdempotencyKeyHash is a hash of a client's Idempotency-Key; the zero value stands for
// a request that had none.
type IdempotencyKeyHash [16]byte

// Session is the state of one live session: all that a refresh needs.
type Session struct {
	ID             token.SessionID
	UserID         int64
	Generation     uint32             // starts at 1; one more at each refresh
	Created        int64              // the login
	Refreshed      int64              // when this generation began: the current token's iat
	Previous       int64              // when the generation before it began; 0 in generation 1
	Expires        int64              // the current token's exp; never after Ends
	Ends           int64              // no refresh passes this
	IdempotencyKey IdempotencyKeyHash // of the refresh that began this generation
}

// Origin is where a login came from.
type Origin struct {
	IP        string
	UserAgent string
}

// SessionWithOrigin is a session with what only a list of sessions shows.
type SessionWithOrigin struct {
	Session
	Origin
}

// SessionWithUser is a session that can be refreshed, and its user.
type SessionWithUser struct {
	Session Session
	User    *User
}

// APIKey is an API key without the key itself, which is shown once and kept as a
// hash.
type APIKey struct {
	ID         int64
	UserID     int64
	Visibility Visibility
	Primary    bool            // at most one of a user
	Session    token.SessionID // the session that a SessionKey dies with; zero otherwise
	Mask       string          // how lists show the key
	Created    int64
}

// Caller is who makes a request: a user, by a session's bearer token or by a
// key.
type Caller struct {
	User    *User
	Session *Session // nil for a caller with a key alone
	Address string   // where the request came from, for the audit; may be empty
}

// UserWithHash is a user with the password's hash.
type UserWithHash struct {
	User
	PasswordHash string
}
