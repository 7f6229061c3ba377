// Package batch is group commit: callers that wait at the same time share one
// commit, and each gets its own outcome.
package batch

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// The errors of Do, beside the context's. With both nothing was done.
var (
	ErrClosed = errors.New("batch: closed")
	ErrFull   = errors.New("batch: too many wait")
)

// full is how many may wait: far more than a commit that works leaves waiting.
const full = 10_000

// Op is one caller's step. What commit learns of it is kept in the Op itself.
type Op[T any] struct {
	Value T
	done  chan struct{}
	place *list.Element // among those that wait, guarded by the group's mu; nil once it is in a batch
}

// Group gathers ops and hands them to commit: all that wait, up to a limit, at
// once. While a commit runs the next batch gathers, so a batch is as large as
// the load makes it.
type Group[T any] struct {
	commit func([]*Op[T])
	limit  int
	gather time.Duration

	mu      sync.Mutex // guards what follows
	waiting list.List  // of *Op[T]: any of them may give up, and thousands at once
	idle    int        // committers that could start
	closed  bool
	around  int // callers that there seem to be
	wanted  int // how many the committer that gathers wants to wait; 0: none gathers
	running sync.WaitGroup

	enough chan struct{} // holds one when as many wait as are wanted
}

// New returns a group. Of each batch of at most limit ops, commit must make
// them durable, or not, and record each op's outcome in its Value. No more than
// committers calls of commit run at once.
//
// With one committer, gather is how long it may wait after a commit for the
// callers that it answered to come back, so that fewer commits serve as many.
// It waits for a part of those around, and so not at all for one that calls
// again and again. With 0 it does not wait.
func New[T any](limit, committers int, gather time.Duration, commit func([]*Op[T])) *Group[T] {
	return &Group[T]{commit: commit, limit: limit, gather: gather, idle: committers, enough: make(chan struct{}, 1)}
}

// Do runs one op and returns when its batch is over. If ctx ends while the op
// waits, it is taken back and nothing was done. If it ends while the op is in a
// commit, the op goes on, its outcome is not known, and Value must not be
// touched. The error is the context's in both cases.
func (g *Group[T]) Do(ctx context.Context, op *Op[T]) error {
	op.done = make(chan struct{})
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	if g.waiting.Len() >= full {
		g.mu.Unlock()
		return ErrFull
	}
	op.place = g.waiting.PushBack(op)
	if g.waiting.Len() == g.wanted {
		g.wanted = 0
		g.enough <- struct{}{} // which is empty: the one that gathers hears it once
	}
	if g.idle > 0 {
		g.idle--
		g.running.Add(1)
		go g.drain()
	}
	g.mu.Unlock()
	select {
	case <-op.done:
		return nil
	case <-ctx.Done():
		g.takeBack(op)
		return ctx.Err()
	}
}

func (g *Group[T]) takeBack(op *Op[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if op.place != nil {
		g.waiting.Remove(op.place)
	}
}

// take takes the next batch out of those that wait; g.mu is held.
func (g *Group[T]) take() []*Op[T] {
	ops := make([]*Op[T], min(g.waiting.Len(), g.limit))
	for i := range ops {
		ops[i] = g.waiting.Remove(g.waiting.Front()).(*Op[T])
		ops[i].place = nil
	}
	return ops
}

// drain commits batches until nobody waits.
func (g *Group[T]) drain() {
	defer g.running.Done()
	timer := time.NewTimer(time.Hour) // for await, which sets it
	defer timer.Stop()
	for {
		g.mu.Lock()
		ops := g.take()
		if len(ops) == 0 {
			g.idle++
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.commit(ops)
		for _, op := range ops {
			close(op.done)
		}
		if g.gather > 0 {
			g.await(len(ops), timer)
		}
	}
}

// await waits for more ops after a commit of n. With half of the callers in a
// commit the other half is served meanwhile, and neither the disk nor the
// processor waits for the other: five eighths, as the guess is low at first.
// (docs/benchmarks.md)
func (g *Group[T]) await(n int, timer *time.Timer) {
	g.mu.Lock()
	g.around = max(n+g.waiting.Len(), g.around*15/16)
	wanted := min(g.around*5/8, g.limit)
	if g.waiting.Len() >= wanted {
		g.mu.Unlock()
		return
	}
	g.wanted = wanted
	g.mu.Unlock()
	timer.Reset(g.gather)
	select {
	case <-g.enough:
	case <-timer.C:
	}
	g.mu.Lock()
	g.wanted = 0
	g.mu.Unlock()
	select {
	case <-g.enough: // it came with the timer
	default:
	}
}

// Close lets the ops that wait finish, and refuses others.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.running.Wait()
}
