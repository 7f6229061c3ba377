//go:build linux

package patroni

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

const (
	// safetyMargin is how many seconds before the end of its ttl the watchdog of a leader fires. It is Patroni's
	// default.
	safetyMargin = 5
	// bootTime is how long a machine takes to restart. Real ones take longer.
	bootTime = 5 * time.Second
)

// watchdogMessage matches what Patroni writes to the watchdog of its own tests: a new time-out, a sign of life, or that
// the watchdog should stop.
var watchdogMessage = regexp.MustCompile(`Ctimeout=(\d+)\n|[1V]`)

// watchdogPath is the path of a pipe in place of /dev/watchdog.
func (s *Site) watchdogPath() string { return filepath.Join(s.dir, "watchdog") }

// watch does what a watchdog and its machine do: if Patroni is silent for too long, it kills Patroni and PostgreSQL,
// and starts Patroni some time later.
func (s *Site) watch() {
	s.t.Helper()
	path := s.watchdogPath()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if id := pgtest.Credential(s.t); id != nil {
		if err := os.Chown(path, int(id.Uid), int(id.Gid)); err != nil {
			s.t.Fatal(err)
		}
	}
	pipe, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0) // with a writer of its own it has no end
	if err != nil {
		s.t.Fatal(err)
	}
	s.watchdog, s.watched = pipe, make(chan struct{})
	go func() {
		defer close(s.watched)
		var timeout time.Duration
		text := make([]byte, 4096)
		for {
			n, err := pipe.Read(text)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.Resets.Add(1)
				s.KillPatroni()
				s.KillPostgres()
				time.Sleep(bootTime)
				_ = pipe.SetReadDeadline(time.Time{}) // fails if the pipe is closed, and so does the next read
				s.StartPatroni()
				continue
			}
			if err != nil {
				return // stop has closed the pipe
			}
			for _, message := range watchdogMessage.FindAllStringSubmatch(string(text[:n]), -1) {
				if message[1] != "" {
					seconds, _ := strconv.Atoi(message[1])
					timeout = time.Duration(seconds) * time.Second
				}
				var fires time.Time
				if message[0] != "V" && timeout > 0 {
					fires = time.Now().Add(timeout)
				}
				_ = pipe.SetReadDeadline(fires)
			}
		}
	}()
}
