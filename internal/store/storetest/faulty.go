package storetest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/token"
)

// Fault is a kind of failure of a Faulty store.
type Fault int32

// The faults. A caller cannot distinguish NotCommitted from Committed.
const (
	NoFault      Fault = iota
	NotCommitted       // nothing happens, and the caller gets an error
	Committed          // the change happens, and the caller gets an error
)

// Faulty is a store whose Rotate, EndSession and ResolveAttempt can be made to fail.
type Faulty struct {
	authority.Store
	mode atomic.Int32
}

// Set makes the next calls fail in a way.
func (f *Faulty) Set(mode Fault) { f.mode.Store(int32(mode)) }

// Rotate is that of the store, or fails.
func (f *Faulty) Rotate(ctx context.Context, r authority.Rotation) (authority.SessionWithUser, bool, error) {
	mode := Fault(f.mode.Load())
	if mode == NotCommitted {
		return authority.SessionWithUser{}, false, errFault
	}
	s, rotated, err := f.Store.Rotate(ctx, r)
	if mode == Committed && err == nil {
		return authority.SessionWithUser{}, false, errFault
	}
	return s, rotated, err
}

// EndSession is that of the store, or fails.
func (f *Faulty) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	mode := Fault(f.mode.Load())
	if mode == NotCommitted {
		return errFault
	}
	err := f.Store.EndSession(ctx, r, id)
	if mode == Committed && err == nil {
		return errFault
	}
	return err
}

// ResolveAttempt is that of the store, or fails.
func (f *Faulty) ResolveAttempt(ctx context.Context, a throttle.Attempt, known bool, o throttle.Outcome) error {
	mode := Fault(f.mode.Load())
	if mode == NotCommitted {
		return errFault
	}
	err := f.Store.ResolveAttempt(ctx, a, known, o)
	if mode == Committed && err == nil {
		return errFault
	}
	return err
}

var errFault = fmt.Errorf("%w: the test made it fail", fault.ErrUnavailable)
