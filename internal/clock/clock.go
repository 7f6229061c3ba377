// Package clock measures time across a suspension of the machine and a change of its wall clock.
package clock

import "time"

// Elapsed returns the time between two readings of a clock, by the monotonic clock or by the wall clock, whichever is
// longer. Each alone can be too short: the monotonic clock of some systems stops while the machine is suspended, and
// the wall clock can be set back.
func Elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0))) // Round(0) removes the monotonic reading
}
