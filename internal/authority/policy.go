package authority

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// The refresh policy: what an old token means. Pure functions of the session's
// row, the token's generation and the time (the contract, section 4).

// Policy has the settings of sessions. Times are Unix seconds, so each duration counts in whole seconds: a fraction is
// cut off.
type Policy struct {
	// TokenLife is the time from a login or refresh to the token's exp.
	TokenLife time.Duration
	// SessionLife is the time from the login to the end of the session, whatever refreshes there are.
	SessionLife time.Duration
	// BearerGrace is how long the token before the current one is accepted as a bearer after a refresh. With 0 it is
	// rejected at once.
	BearerGrace time.Duration
	// ReplayWithoutKey is how long a refresh that has no Idempotency-Key is replayed. With 0 it never is.
	ReplayWithoutKey time.Duration
	// RefreshAPIKey says whether a refresh needs an API key.
	RefreshAPIKey RefreshAPIKeyPolicy
	// AuditAge is how long audit events are kept.
	AuditAge time.Duration
}

// Defaults of a Policy. The other two durations are 0 by default.
const (
	DefaultTokenLife   = time.Hour
	DefaultSessionLife = 30 * 24 * time.Hour
	DefaultAuditAge    = 90 * 24 * time.Hour
)

// WithDefaults returns p with TokenLife, SessionLife, RefreshAPIKey and AuditAge set to their defaults where they are
// zero.
func (p Policy) WithDefaults() Policy {
	p.TokenLife = cmp.Or(p.TokenLife, DefaultTokenLife)
	p.SessionLife = cmp.Or(p.SessionLife, DefaultSessionLife)
	p.RefreshAPIKey = cmp.Or(p.RefreshAPIKey, APIKeyOptional)
	p.AuditAge = cmp.Or(p.AuditAge, DefaultAuditAge)
	return p
}

// seconds converts a duration to the unit of points in time.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// RefreshAPIKeyPolicy is what a refresh wants of X-API-Key.
type RefreshAPIKeyPolicy string

// The key modes.
const (
	APIKeyOptional RefreshAPIKeyPolicy = "optional" // a key that is sent must be valid
	APIKeyRequired RefreshAPIKeyPolicy = "required" // a valid key must be sent
	APIKeyBound    RefreshAPIKeyPolicy = "bound"    // and it must be of the token's user
)

const (
	replayWindow = 2 * time.Minute  // time in which the same request gets the same answer
	raceWindow   = 10 * time.Second // time in which an old token is taken for a race of the client's own
)

// reuseKind is what an old token at the refresh endpoint is taken for.
type reuseKind uint8

const (
	reuseRace   reuseKind = iota // refuse, and no more
	reuseReplay                  // the answer was lost: give it again
	reuseTheft                   // refuse, and end the session
)

// classifyReuse says what a token of an earlier generation than the session's own is.
//
// The row knows when the last two generations were left. When an older one was
// left it does not know, but not before its token was issued; where that is
// longer ago than a race lasts, it is theft: else a thief who refreshes every
// few seconds would never be found. A clock that went back never makes theft.
func classifyReuse(s Session, generation uint32, issued int64, retry IdempotencyKeyHash, now int64, p Policy) reuseKind {
	left := issued
	switch {
	case generation >= s.Generation:
		return reuseRace // not an old token at all: never theft
	case generation+1 == s.Generation:
		left = s.Refreshed
	case generation+2 == s.Generation:
		left = s.Previous
	}
	if generation+1 == s.Generation && now < s.Expires && sameIdempotencyKey(s.IdempotencyKey, retry) {
		window := replayWindow
		if retry == (IdempotencyKeyHash{}) {
			window = p.ReplayWithoutKey
		}
		if within(window, now, left) {
			return reuseReplay
		}
	}
	if now-left > seconds(raceWindow) {
		return reuseTheft
	}
	return reuseRace
}

// bearerGood reports whether a token of this generation passes as a bearer.
func bearerGood(s Session, generation uint32, now int64, p Policy) bool {
	if generation == s.Generation {
		return true
	}
	return generation+1 == s.Generation && within(p.BearerGrace, now, s.Refreshed)
}

// within reports whether two times are less than so much apart. A clock that went back further opens no window again;
// nodes that differ by less do no harm.
func within(window time.Duration, a, b int64) bool { return max(a-b, b-a) < seconds(window) }

func sameIdempotencyKey(a, b IdempotencyKeyHash) bool {
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// HashIdempotencyKey gives what the row remembers of an Idempotency-Key; an empty
// key gives the zero value.
func HashIdempotencyKey(key string) IdempotencyKeyHash {
	if key == "" {
		return IdempotencyKeyHash{}
	}
	sum := sha256.Sum256([]byte(key))
	return IdempotencyKeyHash(sum[:16])
}
