package sqlite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
)

const (
	reserveName = "pawl.reserve"
	// reserveSize is twice what the write-ahead log grows to before it is folded
	// into the database, which may grow by as much then. Steps that end something
	// leave free pages, so from there on they need next to no more.
	reserveSize  = 8 << 20
	reserveAfter = time.Second // between two tries to make the reserve anew
)

// reserve is a file that keeps room on the disk, so that sessions and keys can
// be ended when it is full. The committer goroutine owns it.
type reserve struct {
	path  string
	whole bool
	next  time.Time // before that, making it is not tried again
	err   error     // of the last try
}

// keep makes the reserve if it is not there, and returns nil if it is.
func (r *reserve) keep() error {
	if r.whole {
		return nil
	}
	if now := time.Now(); now.After(r.next) {
		r.next = now.Add(reserveAfter)
		r.err = r.fill()
		r.whole = r.err == nil
	}
	return r.err
}

func (r *reserve) fill() error {
	if info, err := os.Stat(r.path); err == nil && info.Size() == reserveSize {
		return nil
	}
	noise := make([]byte, reserveSize) // some file systems store zeros in no room at all
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	if err := os.WriteFile(r.path, noise, 0o600); err != nil {
		_ = os.Remove(r.path) // what is left of it is made anew as well
		return fmt.Errorf("%w: there is no room for the reserve: %w", fault.ErrUnavailable, err)
	}
	return nil
}

// release gives the room to whoever writes next.
func (r *reserve) release() {
	_ = os.Remove(r.path) // if it stays, the next step finds no room, and says so
	r.whole, r.next = false, time.Now().Add(reserveAfter)
	r.err = fmt.Errorf("%w: the disk is full, and its reserve is for what ends sessions and keys", fault.ErrUnavailable)
}

// isFull reports whether a batch failed for want of room.
func isFull(err error) bool {
	code := sqlite.ErrCode(err)
	return code.ToPrimary() == sqlite.ResultFull || code == sqlite.ResultIOErrSHMSize
}

// commit carries out a batch. While the reserve is not there, only the steps go
// on that end something; where the disk is found full, they get its room.
func (s *Store) commit(ops []*batch.Op[write]) {
	start := time.Now()
	defer func() { s.metrics.StoreCommit(len(ops), time.Since(start)) }()
	err := s.reserve.keep()
	if err == nil {
		if err = s.try(ops); !isFull(err) {
			return
		}
	} else {
		s.tell(err)
	}
	var ends []*batch.Op[write]
	for _, op := range ops {
		w := &op.Value
		if w.ends {
			w.err, w.gone = nil, removed{}
			ends = append(ends, op)
			continue
		}
		w.err = err
	}
	if len(ends) == 0 {
		return
	}
	if s.reserve.whole { // else it is given already, and ends that keep coming do not put off its next try
		s.reserve.release()
	}
	_ = s.try(ends) // each step has the error
}
