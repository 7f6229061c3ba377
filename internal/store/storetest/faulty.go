package storetest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Fault is how a Faulty store fails.
type Fault int32

// The two faults that a caller cannot tell apart.
const (
	NoFault Fault = iota
	NotCommitted
	Committed // the step happened, and its caller saw an error
)

// Faulty is a store whose Rotate and EndSession can be made to fail, before or
// after they happened.
type Faulty struct {
	authority.Store
	mode atomic.Int32
}

// Set makes the calls that follow fail so.
func (f *Faulty) Set(mode Fault) { f.mode.Store(int32(mode)) }

func (f *Faulty) lose(step func() error) error {
	mode := Fault(f.mode.Load())
	if mode == NoFault {
		return step()
	}
	if mode == Committed {
		if err := step(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: made to fail", fault.ErrUnavailable)
}

// Rotate is the store's, or a fault.
func (f *Faulty) Rotate(ctx context.Context, r authority.Rotation) (live authority.SessionWithUser, moved bool, err error) {
	err = f.lose(func() (err error) {
		live, moved, err = f.Store.Rotate(ctx, r)
		return err
	})
	if err != nil {
		return authority.SessionWithUser{}, false, err
	}
	return live, moved, nil
}

// EndSession is the store's, or a fault.
func (f *Faulty) EndSession(ctx context.Context, id token.SessionID) error {
	return f.lose(func() error { return f.Store.EndSession(ctx, id) })
}
