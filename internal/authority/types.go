package authority

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Level is the rank of a user and decides what the user may do. A smaller value ranks higher.
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

// Status is the stage of a user's life.
type Status uint8

// The statuses.
const (
	Development Status = iota + 1
	Active
	Preproduction
	Suspended
	Terminated
)

// Visibility is the intended audience of an API key.
type Visibility uint8

// The visibilities. A SessionOnly API key ends with the session in which it was created.
const (
	Private Visibility = iota + 1
	Shared
	Public
	SessionOnly
)

var (
	levelNames = []string{
		"", "Root", "TechOps", "NetOps", "NetworkAdmin", "NetworkUser", "MailboxAdmin", "MailboxUser", "TPUser",
		"General",
	}
	statusNames     = []string{"", "Development", "Active", "Preproduction", "Suspended", "Terminated"}
	visibilityNames = []string{"", "Private", "Shared", "Public", "Session"}
)

// String returns the level's name.
func (l Level) String() string { return nameOf(levelNames, int(l)) }

// String returns the status's name.
func (s Status) String() string { return nameOf(statusNames, int(s)) }

// String returns the visibility's name.
func (v Visibility) String() string { return nameOf(visibilityNames, int(v)) }

// MarshalText returns the level's name, for logs.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// MarshalText returns the status's name, for logs.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func nameOf(names []string, i int) string {
	if i <= 0 || i >= len(names) {
		return fmt.Sprintf("unknown(%d)", i)
	}
	return names[i]
}

// parse returns the index of a name. The error names the field and its possible values.
func parse(field, name string, names []string) (int, error) {
	if i := slices.Index(names, name); i > 0 {
		return i, nil
	}
	return 0, fault.Invalid(fmt.Sprintf("%s must be one of %s.", field, strings.Join(names[1:], ", ")))
}

// ParseLevel returns the level with a name. The error names the field.
func ParseLevel(field, name string) (Level, error) {
	i, err := parse(field, name, levelNames)
	return Level(i), err
}

// ParseStatus returns the status with a name. The error names the field.
func ParseStatus(field, name string) (Status, error) {
	i, err := parse(field, name, statusNames)
	return Status(i), err
}

// ParseVisibility returns the visibility with a name. The error names the field.
func ParseVisibility(field, name string) (Visibility, error) {
	i, err := parse(field, name, visibilityNames)
	return Visibility(i), err
}

// MaySignIn reports whether a user of this status can sign in, refresh, and use an API key.
func (s Status) MaySignIn() bool { return s < Suspended }

// Tenant is the network and the mailbox of a user.
type Tenant struct {
	NetworkID int64
	MailboxID int64
}

// User is a user. A *User returned by a Store is shared and must not be changed.
type User struct {
	ID         int64
	Login      string
	ExternalID string // the id of the user in another system, such as the sub of an identity provider; "" if none
	Email      string // "" if none
	FirstName  string
	LastName   string
	Tenant
	Level   Level
	Status  Status
	Created int64 // Unix seconds
}

// UserWithHash is a user with the hash of the password.
type UserWithHash struct {
	User
	PasswordHash string // "" for a user without a password; no password matches it
}

// IdempotencyKeyHash is the hash of a client's Idempotency-Key. The zero value means that the request had none.
type IdempotencyKeyHash [16]byte

// Session is the state of a session, as far as a refresh needs it.
type Session struct {
	ID             token.SessionID
	UserID         int64
	Generation     uint32             // starts at 1 and goes up by one at each refresh
	Address        AddressHash        // of the request that began this generation
	Created        int64              // when the login was
	Refreshed      int64              // when this generation began: the current token's iat
	Previous       int64              // see raceBegan; 0 in generation 1, before a replay
	Expires        int64              // the current token's exp, at most Idle
	Idle           int64              // when the current token can no longer be refreshed, at most Ends
	Ends           int64              // when the session ends; no refresh extends it
	IdempotencyKey IdempotencyKeyHash // of the refresh that began this generation
	Extras         *SessionExtras     // nil for most sessions
}

// ActorID returns the id of the user who acts for the session's user. It is 0 if there is none, and for a nil session.
func (s *Session) ActorID() int64 {
	if s == nil || s.Extras == nil {
		return 0
	}
	return s.Extras.ActorID
}

// AddressHash is a hash of a client's address, and 0 if the address is unknown. It only shows whether two requests came
// from the same address. Two addresses can have the same hash.
type AddressHash uint32

// hashAddress returns the hash of a client's address. The addresses of an IPv6 /64 have the same hash, because one
// subscriber has all of them.
func hashAddress(ip string) AddressHash {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return 0
	}
	address = address.Unmap()
	bytes := address.As16()
	if address.Is6() {
		clear(bytes[8:])
	}
	const basis, prime = 2166136261, 16777619 // FNV-1a; hash/fnv and hash/crc32 allocate
	hash := uint32(basis)
	for _, b := range bytes {
		hash = (hash ^ uint32(b)) * prime
	}
	return max(1, AddressHash(hash))
}

// SessionExtras has what only some sessions have. It never changes once the session is open.
type SessionExtras struct {
	Claims  string // a JSON object put into each token as the claim "ext"; "" is none
	ActorID int64  // the user who acts for the session's user; 0 is none
	// TokenLife and IdleLife replace the lives of the policy for this session, in whole seconds. 0 keeps the policy's.
	TokenLife time.Duration
	IdleLife  time.Duration
}

// Origin is where a request came from.
type Origin struct {
	IP        string
	UserAgent string
	Device    string // a name for the user's device, chosen by the caller who opened the session; may be empty
	// Cookie means that a browser keeps, or is to keep, the token in the cookie of the server. No store has it: the
	// tokens of the session have it as the claim "cookie".
	Cookie bool
}

// SessionWithOrigin is a session and the origin of its login.
type SessionWithOrigin struct {
	Session
	Origin
}

// SessionWithUser is a session and its user.
type SessionWithUser struct {
	Session Session
	User    *User
}

// APIKey describes an API key. The key's text is shown once, when it is created; the store has only a hash of it.
type APIKey struct {
	ID         int64
	UserID     int64
	Visibility Visibility
	Primary    bool            // at most one API key of a user is primary
	Session    token.SessionID // the session that a SessionOnly key ends with; zero for others
	Mask       string          // shown in lists instead of the key
	Created    int64
	Scope      Scope
	MaxLevel   Level  // the highest level of a user whose session an OpenSessionsScope key opens; 0 for other scopes
	Name       string // may be empty
	Expires    int64  // when the key stops working; 0 is never
}

// expired reports whether the key has stopped working.
func (k APIKey) expired(now int64) bool { return k.Expires != 0 && now >= k.Expires }

// Caller is the user making a request, with a bearer token or an API key.
type Caller struct {
	User       *User
	Session    *Session // nil for a caller with an API key alone
	Generation uint32   // of the bearer token
	APIKeyID   int64    // 0 for a caller with a bearer token alone
	Address    string   // where the request came from, for the audit; may be empty
	Cookie     bool     // whether the session was opened by a browser that keeps its token in a cookie

	actor          *User         // SessionExtras.ActorID of the session; nil if there is none
	sessionOnlyKey bool          // whether the API key is a SessionOnly one
	scope          Scope         // of the API key; 0 without one
	maxLevel       Level         // of the API key
	keyExpires     int64         // APIKey.Expires
	grace          time.Duration // Policy.BearerGrace
	checkedAt      int64         // when the write began; asCaller sets it
}
