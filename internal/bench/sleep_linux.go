package bench

import (
	"syscall"
	"time"
)

// sleep is the system's own: time.Sleep may wake a millisecond late when the
// process is idle, which is longer than the latencies that are measured. A
// signal ends it early.
func sleep(d time.Duration) {
	for d > 100*time.Millisecond { // so that the end of the run is noticed
		time.Sleep(50 * time.Millisecond)
		d -= 50 * time.Millisecond
	}
	wait := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&wait, nil) // EINTR: the caller looks at the clock again
}
