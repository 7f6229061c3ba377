package bench

import (
	"syscall"
	"time"
)

// sleep uses nanosleep(2), because time.Sleep can wake an idle process a millisecond late. The measured latencies are
// shorter. A signal ends the sleep early.
func sleep(d time.Duration) {
	for d > 100*time.Millisecond { // nanosleep blocks a thread, so it sleeps only the end
		time.Sleep(50 * time.Millisecond)
		d -= 50 * time.Millisecond
	}
	wait := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&wait, nil) // after EINTR, the caller checks the clock again
}
