package authority

import (
	"crypto/sha256"
	"crypto/subtle"
)

// The refresh policy: what an old token means. Pure functions of the session's
// row, the token's generation and the time (the contract, section 4).

// Policy is the settings of sessions. Durations are in seconds.
type Policy struct {
	TokenLife        int64 // from a login or refresh to the token's exp
	SessionLife      int64 // from the login to the session's end
	BearerGrace      int64 // how long the immediate predecessor passes as a bearer; 0: not at all
	ReplayWithoutKey int64 // how long a refresh without an Idempotency-Key is replayed; 0: not at all
	RefreshAPIKey    RefreshAPIKeyPolicy
	AuditAge         int64 // how long events are kept
}

// RefreshAPIKeyPolicy is what a refresh wants of X-API-Key.
type RefreshAPIKeyPolicy string

// The key modes.
const (
	APIKeyOptional RefreshAPIKeyPolicy = "optional" // a key that is sent must be valid
	APIKeyRequired RefreshAPIKeyPolicy = "required" // a valid key must be sent
	APIKeyBound    RefreshAPIKeyPolicy = "bound"    // and it must be of the token's user
)

const (
	retryWindow = 120 // seconds in which the same request gets the same answer
	raceWindow  = 10  // seconds in which an old token is taken for a race of the client's own
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
		window := int64(retryWindow)
		if retry == (IdempotencyKeyHash{}) {
			window = p.ReplayWithoutKey
		}
		if within(window, now, left) {
			return reuseReplay
		}
	}
	if now-left > raceWindow {
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

// within reports whether two times are less than so many seconds apart. A clock
// that went back further opens no window again; nodes that differ by less do
// no harm.
func within(window, a, b int64) bool { return max(a-b, b-a) < window }

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
