package authority

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// Policy has the settings of sessions. Points in time are whole seconds, so the fraction of a duration is cut off.
type Policy struct {
	// TokenLife is the time from a login or refresh to the token's exp. Until then, the token is accepted as a bearer.
	TokenLife time.Duration
	// IdleLife is how long after a login or refresh the current token can be refreshed, even though it no longer
	// passes as a bearer. It is at least TokenLife and at most SessionLife. With 0 it is TokenLife.
	IdleLife time.Duration
	// SessionLife is the time from the login to the end of the session, which no refresh extends.
	SessionLife time.Duration
	// BearerGrace is how long the token before the current one is still accepted as a bearer. With 0 it is rejected at
	// once.
	BearerGrace time.Duration
	// ReplayWithoutKey is how long a refresh without an Idempotency-Key is replayed, whichever key the winner sent.
	// With 0 it is never replayed.
	ReplayWithoutKey time.Duration
	// MaxSessionsPerUser is how many sessions a user may have. A sign-in beyond it ends the session that was refreshed
	// longest ago. It is at most HighestSessionCap. With 0 there is no cap.
	MaxSessionsPerUser int
	// RefreshAPIKey decides whether a refresh needs an API key.
	RefreshAPIKey RefreshAPIKeyPolicy
	// AuditAge is how long audit events are kept.
	AuditAge time.Duration
}

// Defaults of a Policy. BearerGrace and ReplayWithoutKey are 0 by default.
const (
	DefaultTokenLife          = time.Hour
	DefaultSessionLife        = 30 * 24 * time.Hour
	DefaultAuditAge           = 90 * 24 * time.Hour
	DefaultMaxSessionsPerUser = 1000 // WithDefaults leaves 0, which is no cap
)

// HighestSessionCap is the highest Policy.MaxSessionsPerUser. A sign-in at the cap reads all sessions of its user, and
// so may a page of a user's sessions.
const HighestSessionCap = 10_000

// WithDefaults returns p with TokenLife, IdleLife, SessionLife, RefreshAPIKey and AuditAge set to their defaults where
// they are zero.
func (p Policy) WithDefaults() Policy {
	p.TokenLife = cmp.Or(p.TokenLife, DefaultTokenLife)
	p.IdleLife = cmp.Or(p.IdleLife, p.TokenLife)
	p.SessionLife = cmp.Or(p.SessionLife, DefaultSessionLife)
	p.RefreshAPIKey = cmp.Or(p.RefreshAPIKey, APIKeyOptional)
	p.AuditAge = cmp.Or(p.AuditAge, DefaultAuditAge)
	return p
}

// lives returns the lives of the current token of each session.
func (p Policy) lives() Lives {
	return Lives{Token: seconds(p.TokenLife), Idle: seconds(cmp.Or(p.IdleLife, p.TokenLife))}
}

// Lives are how long the current token of a session lives after it was issued, in seconds.
type Lives struct {
	Token int64 // until the token no longer passes as a bearer
	Idle  int64 // until the token can no longer be refreshed
}

// of returns the lives of a session: its own ones where it has them. No token passes as a bearer for longer than it can
// be refreshed.
func (l Lives) of(extras *SessionExtras) Lives {
	if extras != nil {
		l.Token = cmp.Or(seconds(extras.TokenLife), l.Token)
		l.Idle = cmp.Or(seconds(extras.IdleLife), l.Idle)
	}
	l.Token = min(l.Token, l.Idle)
	return l
}

// begin sets the times at which the generation that began at Refreshed expires.
func (s *Session) begin(l Lives) {
	l = l.of(s.Extras)
	s.Expires = min(s.Refreshed+l.Token, s.Ends)
	s.Idle = min(s.Refreshed+l.Idle, s.Ends)
}

// RefreshAPIKeyPolicy decides which X-API-Key a refresh needs.
type RefreshAPIKeyPolicy string

// The policies for the API key of a refresh.
const (
	APIKeyOptional RefreshAPIKeyPolicy = "optional" // an API key in the request must be valid
	APIKeyRequired RefreshAPIKeyPolicy = "required" // a valid API key must be sent
	APIKeyBound    RefreshAPIKeyPolicy = "bound"    // the API key must be of the token's user
)

const (
	replayWindow = 2 * time.Minute  // how long a refresh with the same Idempotency-Key is replayed
	raceWindow   = 10 * time.Second // how long a superseded token is taken for a race of the client's own requests
	sharedWindow = 10 * time.Second // how long a refresh of a shared token is replayed, with any key and without one
)

// reuseKind is what a superseded token at the refresh endpoint is taken for.
type reuseKind uint8

const (
	reuseRace   reuseKind = iota // the client's own requests raced: reject the token
	reuseReplay                  // the response was lost: return the successor again
	reuseTheft                   // reject the token and end the session
)

// classifyReuse classifies the use of a token of an earlier generation than the session's own.
//
// The row has the times at which the race windows of the last two generations began. For a token of an older
// generation, classifyReuse uses the time of its issue instead. Such a token is theft if it was issued longer ago than
// raceWindow. If such a token always counted as a race, a thief could stay undetected by refreshing every few seconds.
// A clock that goes back never makes a reuse a theft.
func classifyReuse(s Session, issued int64, r Rotation, p Policy) reuseKind {
	generation, now := r.From, r.At
	if generation >= s.Generation {
		return reuseRace // the token is not superseded, so it cannot be theft
	}
	raceBegan := issued
	switch s.Generation - generation {
	case 1:
		raceBegan = s.raceBegan()
	case 2:
		raceBegan = min(s.Previous, s.Refreshed) // Previous may have the later time of a replay
	}
	if generation+1 == s.Generation && r.MayReplay(&s) {
		switch {
		case !within(r.replayWindow(&s, p), now, s.Refreshed):
		case now < s.Idle:
			return reuseReplay
		default:
			return reuseRace // a retry is never theft, but the successor can no longer be refreshed either
		}
	}
	if now-raceBegan > seconds(raceWindow) {
		return reuseTheft
	}
	return reuseRace
}

// raceBegan returns when the race window of the current token's predecessor began: when the predecessor was superseded,
// or when its last replay was answered. After an outage, the replay is the first answer that the client gets, and its
// other tabs may still use the predecessor. Previous has the time of a replay if it is later than Refreshed. A Previous
// too late for a replay is from before the clock went back. The PostgreSQL store has raceBegan as an expression.
func (s *Session) raceBegan() int64 {
	if s.Refreshed < s.Previous && s.Previous <= s.Refreshed+seconds(replayWindow) {
		return s.Previous
	}
	return s.Refreshed
}

// RecordReplay begins the race window of the predecessor again, and reports whether the session has changed.
func (s *Session) RecordReplay(at int64) bool {
	at = min(at, s.Refreshed+seconds(replayWindow))
	if at <= s.raceBegan() {
		return false
	}
	s.Previous = at
	return true
}

// MayReplay reports whether the request of a rotation may get the successor of its token again: one with the winner's
// key, one without a key, and one with a shared token. The policy decides for how long.
func (r *Rotation) MayReplay(s *Session) bool {
	return r.Shared || r.IdempotencyKey == (IdempotencyKeyHash{}) || r.hasKeyOf(s)
}

// hasKeyOf reports whether the request of a rotation has the idempotency key of the winner.
func (r *Rotation) hasKeyOf(s *Session) bool {
	return subtle.ConstantTimeCompare(s.IdempotencyKey[:], r.IdempotencyKey[:]) == 1
}

// replayWindow returns how long the request of a rotation is replayed, if MayReplay.
func (r *Rotation) replayWindow(s *Session, p Policy) time.Duration {
	var window time.Duration
	switch {
	case r.IdempotencyKey == (IdempotencyKeyHash{}):
		window = p.ReplayWithoutKey
	case r.hasKeyOf(s):
		window = replayWindow
	}
	if r.Shared {
		window = max(window, sharedWindow)
	}
	return window
}

// acceptsBearer reports whether a session accepts a token of this generation as a bearer.
func acceptsBearer(s Session, generation uint32, now int64, p Policy) bool {
	if generation == s.Generation {
		return true
	}
	return generation+1 == s.Generation && within(p.BearerGrace, now, s.Refreshed)
}

// within reports whether two points in time are less than window apart, in either order. A clock that goes back by more
// than the window therefore does not reopen the window. The window stays open on a node whose clock is behind by less
// than the window.
func within(window time.Duration, a, b int64) bool { return max(a-b, b-a) < seconds(window) }

// seconds converts a duration to the unit of points in time.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// HashIdempotencyKey returns the hash of an Idempotency-Key, and the zero value for an empty one.
func HashIdempotencyKey(key string) IdempotencyKeyHash {
	if key == "" {
		return IdempotencyKeyHash{}
	}
	sum := sha256.Sum256([]byte(key))
	return IdempotencyKeyHash(sum[:16])
}
