package client

import (
	"time"

	"github.com/pawlauth/pawl/internal/clock"
)

// knowledge is what the last beat of a feed proves: every change that Pawl acknowledged before the beat's server time
// has arrived. A value is immutable.
type knowledge struct {
	// local and server are a reading of the local clock, and a server time that was read later. The age of the
	// knowledge follows from time differences on either side alone, so the two clocks may be wrong.
	local  time.Time
	server time.Time
	beat   time.Time // the server time of the last beat
	hello  helloTimes
}

// helloTimes are the times of the hello of an epoch.
type helloTimes struct {
	server       time.Time
	maxTokenLife time.Duration
	heartbeat    time.Duration
}

// age returns an upper bound of the time since the beat's server time. It is the local time since local, of which the
// server had used beat − server when it sent the beat.
func (k *knowledge) age(now time.Time) time.Duration {
	return clock.Elapsed(k.local, now) - k.beat.Sub(k.server)
}

// isFresh reports whether the knowledge is younger than the bound. An age that is negative by more than two clocks may
// drift apart means that one of the two was set, so it proves nothing.
func (k *knowledge) isFresh(now time.Time, bound time.Duration) bool {
	age := k.age(now)
	return age < bound && age > -maxClockStep
}

// serverTime returns the latest possible time of the server.
func (k *knowledge) serverTime(now time.Time) time.Time {
	return k.server.Add(clock.Elapsed(k.local, now))
}

// maxClockStep is the error of a clock that is tolerated without a new subscription. If the wall clock was set back, a
// suspend shorter than the step would go unnoticed.
const maxClockStep = 100 * time.Millisecond

// setBack reports whether the local wall clock was set back since k.local.
func (k *knowledge) setBack(now time.Time) bool {
	return now.Sub(k.local)-now.Round(0).Sub(k.local.Round(0)) > maxClockStep
}

// covers reports whether the epoch of k is so old that every token issued before it has expired.
func (k *knowledge) covers(now time.Time) bool {
	return k.serverTime(now).Sub(k.hello.server) > k.hello.maxTokenLife+10*time.Second
}
