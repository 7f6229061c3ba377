package keyring

import (
	"math"
	"time"
)

// This file has the schedule of the keys as pure functions of the time and the keys. The keys are ordered newest first.

// signing returns the index of the present signing key: the latest of those that have begun to sign, otherwise the
// first that will. It returns -1 if every key is retired.
func signing(keys []nodeKey, now int64) int {
	best := -1
	for i, k := range keys {
		if k.key != nil && (best < 0 || precedes(k.SignsFrom, keys[best].SignsFrom, now)) {
			best = i
		}
	}
	return best
}

// precedes reports whether a key signing from a is preferred to one signing from b.
func precedes(a, b, now int64) bool {
	if begun := a <= now; begun != (b <= now) {
		return begun
	} else if begun {
		return a > b
	}
	return a < b
}

// replacedAt returns when another key replaces or replaced key i, or 0 if there is no such key. A key retired before it
// signed replaced none.
func replacedAt(keys []nodeKey, i int) int64 {
	at := int64(0)
	for j, k := range keys {
		later := k.SignsFrom > keys[i].SignsFrom || k.SignsFrom == keys[i].SignsFrom && j < i
		cancelled := k.RetiredAt != 0 && k.RetiredAt < k.SignsFrom
		if later && !cancelled && (at == 0 || k.SignsFrom < at) {
			at = k.SignsFrom
		}
	}
	return at
}

// nextSigns returns when the next key begins to sign, or math.MaxInt64 if none does.
func nextSigns(keys []nodeKey, now int64) int64 {
	next := int64(math.MaxInt64)
	for _, k := range keys {
		if k.key != nil && k.SignsFrom > now {
			next = min(next, k.SignsFrom)
		}
	}
	return next
}

// newestActive returns the newest key that is not retired, or nil.
func newestActive(keys []nodeKey) *nodeKey {
	for i := range keys {
		if keys[i].key != nil {
			return &keys[i]
		}
	}
	return nil
}

// countActive returns the number of keys that are not retired.
func countActive(keys []nodeKey) (n int) {
	for _, k := range keys {
		if k.key != nil {
			n++
		}
	}
	return n
}

// seconds converts a duration to the unit of points in time.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// FormatTime returns a point in time as it is in messages and in the log.
func FormatTime(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
