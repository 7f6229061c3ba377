package sqlite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

const (
	reserveName = "pawl.reserve"
	// reserveSize is twice the size at which SQLite checkpoints the write-ahead log. One half is for the log. The other
	// half is for the database, because a checkpoint may extend it by the size of the log. After that, revocations need
	// hardly any more space, because they free pages.
	reserveSize = 8 << 20
	// reserveRetry is the time between two attempts to restore the reserve.
	reserveRetry = time.Second
)

// reserve is a file that occupies space on the disk. Releasing the space lets sessions and keys be revoked when the
// disk is full. Only the committer goroutine uses a reserve.
type reserve struct {
	path     string
	complete bool
	retryAt  time.Time // time of the next attempt to restore the file
	err      error     // result of the last attempt

	full atomic.Bool // whether the last batch found no space; the console reads it
}

// ensure restores the reserve if it is missing, and returns an error while that is not possible.
func (r *reserve) ensure() error {
	if r.complete {
		return nil
	}
	if now := time.Now(); now.After(r.retryAt) {
		r.retryAt = now.Add(reserveRetry)
		r.err = r.fill()
		r.complete = r.err == nil
	}
	return r.err
}

func (r *reserve) fill() error {
	if info, err := os.Stat(r.path); err == nil && info.Size() == reserveSize {
		return nil
	}
	noise := make([]byte, reserveSize) // Some file systems store zeros without using space.
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	if err := os.WriteFile(r.path, noise, 0o600); err != nil {
		_ = os.Remove(r.path) // The next attempt writes the whole file again.
		return fmt.Errorf("%w: there is no space for the reserve: %w", fault.ErrUnavailable, err)
	}
	return nil
}

// release frees the space of the reserve for the next write.
func (r *reserve) release() {
	_ = os.Remove(r.path) // If the file remains, the next write finds no space and reports an error.
	r.complete = false
	r.retryAt = time.Now().Add(reserveRetry)
	r.err = fmt.Errorf("%w: the disk is full, and its reserve is for revocations", fault.ErrUnavailable)
}
