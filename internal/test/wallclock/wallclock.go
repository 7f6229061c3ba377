// Package wallclock has a clock whose wall clock a test sets, while its monotonic clock runs on.
package wallclock

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Clock is the real time with another wall clock. The zero value is the real time. It is safe for concurrent use.
type Clock struct{ seconds atomic.Int64 }

// Step sets the wall clock forward by whole seconds, or back if d is negative.
func (c *Clock) Step(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }

// Now returns the time. Its monotonic reading is the real one.
func (c *Clock) Now() time.Time {
	t := time.Now()
	// The first word of a Time with a monotonic reading has the wall clock: 33 bits of seconds above 30 bits of
	// nanoseconds. No function of package time sets one clock without the other.
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(c.seconds.Load()) << 30
	return t
}
