package keyring

import (
	"math"
	"time"
)

// When which key signs, and when it has done its work. Pure functions of the
// keys, newest first, and the time.

// signing returns the index of the key that signs now: of those whose time has
// come the latest, else the first whose time will come; -1 if none is live.
func signing(keys []nodeKey, now int64) int {
	best := -1
	for i, k := range keys {
		if k.key != nil && (best < 0 || precedes(k.SignsFrom, keys[best].SignsFrom, now)) {
			best = i
		}
	}
	return best
}

// precedes reports whether a key that signs from a goes before one from b.
func precedes(a, b, now int64) bool {
	if begun := a <= now; begun != (b <= now) {
		return begun
	} else if begun {
		return a > b
	}
	return a < b
}

// replaced returns when another key took over from key i, or will; 0 if none is
// there to do so. A key that was retired before it signed never did; one that
// signs from an unknown time says nothing.
func replaced(keys []nodeKey, i int) int64 {
	at := int64(0)
	for j, k := range keys {
		later := k.SignsFrom > keys[i].SignsFrom || k.SignsFrom == keys[i].SignsFrom && j < i
		cancelled := k.RetiredAt != 0 && k.RetiredAt < k.SignsFrom
		if later && k.SignsFrom != 0 && !cancelled && (at == 0 || k.SignsFrom < at) {
			at = k.SignsFrom
		}
	}
	return at
}

// nextSigns returns when the next of the live keys begins to sign; the end of
// time if none does.
func nextSigns(keys []nodeKey, now int64) int64 {
	next := int64(math.MaxInt64)
	for _, k := range keys {
		if k.key != nil && k.SignsFrom > now {
			next = min(next, k.SignsFrom)
		}
	}
	return next
}

// newestLive returns the newest key that is not retired, or nil.
func newestLive(keys []nodeKey) *nodeKey {
	for i := range keys {
		if keys[i].key != nil {
			return &keys[i]
		}
	}
	return nil
}

// live counts the keys that are not retired.
func live(keys []nodeKey) (n int) {
	for _, k := range keys {
		if k.key != nil {
			n++
		}
	}
	return n
}

// FormatTime is how a message and the log say a time.
func FormatTime(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
