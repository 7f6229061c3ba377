// Package batch is group commit: operations waiting at the same time share one commit, and each gets its own outcome.
package batch

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// The errors of Do, beside those of the context. After either of them the operation has not been carried out.
var (
	ErrClosed = errors.New("batch: closed")
	ErrFull   = errors.New("batch: too many operations wait")
)

// maxWaiting is how many operations may wait. It is far more than a working commit leaves waiting.
const maxWaiting = 10_000

// Op is the operation of one caller. The commit function stores the outcome in Value.
type Op[T any] struct {
	Value T
	// Weight is what the operation counts towards the limit of a batch, so that a batch has fewer operations if they
	// are expensive. 0 counts as 1.
	Weight int

	done    chan struct{}
	element *list.Element // in the list of waiting operations, guarded by Group.mu; nil once the op is in a batch
}

func (op *Op[T]) weight() int { return max(1, op.Weight) }

// Group collects operations and commits them in batches of all waiting operations, up to a limit. While one commit
// runs, the next batch collects, so that the size of the batches follows the load.
type Group[T any] struct {
	commit func([]*Op[T])
	limit  int
	gather time.Duration

	mu      sync.Mutex // guards the fields below
	waiting list.List  // of *Op[T]; a list, because any of them may give up, and thousands at the same time
	weight  int        // of the waiting operations
	idle    int        // committers that do not run
	closed  bool
	callers int // an estimate of the number of callers
	wanted  int // the number of operations a gathering committer waits for; 0 if none gathers
	running sync.WaitGroup

	enough chan struct{} // has an element once the wanted number of operations wait
}

// New returns a group. commit carries out a batch of operations whose weights add up to at most limit, makes them
// durable, and stores the outcome of each in its Value. At most committers calls of commit run at the same time. An
// operation heavier than limit is a batch of its own. No operation overtakes another.
//
// With one committer, gather is how long the committer may wait after a commit for the callers that it served to return
// with their next operation. Fewer commits then serve as many operations. The committer waits for a fraction of the
// callers only, and therefore does not wait at all if there is one caller. With a gather of 0 it never waits.
func New[T any](limit, committers int, gather time.Duration, commit func([]*Op[T])) *Group[T] {
	return &Group[T]{commit: commit, limit: limit, gather: gather, idle: committers, enough: make(chan struct{}, 1)}
}

// Do carries out one operation and returns when its batch is complete. If ctx ends while the operation waits, the
// operation is removed and has not been carried out. If ctx ends while the operation is in a commit, its outcome is
// unknown, and the caller must not use Value. In both cases the error is that of ctx.
func (g *Group[T]) Do(ctx context.Context, op *Op[T]) error {
	op.done = make(chan struct{})
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	if g.waiting.Len() >= maxWaiting {
		g.mu.Unlock()
		return ErrFull
	}
	op.element = g.waiting.PushBack(op)
	g.weight += op.weight()
	if g.wanted > 0 && g.gathered(g.wanted) {
		g.wanted = 0           // signal only once, so that the channel has room
		g.enough <- struct{}{} // wakes the gathering committer
	}
	if g.idle > 0 {
		g.idle--
		g.running.Add(1)
		go g.commitAll()
	}
	g.mu.Unlock()
	select {
	case <-op.done:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if op.element != nil {
			g.waiting.Remove(op.element)
			g.weight -= op.weight()
		}
		return ctx.Err()
	}
}

// commitAll commits batches until no operation waits.
func (g *Group[T]) commitAll() {
	defer g.running.Done()
	timer := time.NewTimer(time.Hour) // await sets it
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

// take removes the next batch from the waiting operations; g.mu is held.
func (g *Group[T]) take() []*Op[T] {
	ops := make([]*Op[T], 0, min(g.waiting.Len(), g.limit))
	weight := 0
	for e := g.waiting.Front(); e != nil; e = g.waiting.Front() {
		op := e.Value.(*Op[T])
		weight += op.weight()
		if weight > g.limit && len(ops) > 0 {
			break
		}
		g.waiting.Remove(e)
		g.weight -= op.weight()
		op.element = nil
		ops = append(ops, op)
	}
	return ops
}

// gathered reports whether n operations wait, or a full batch of fewer; g.mu is held.
func (g *Group[T]) gathered(n int) bool { return g.waiting.Len() >= n || g.weight >= g.limit }

// await waits for more operations after a commit of n. It waits for five eighths of the callers: with half of them in a
// commit and the other half being served, neither the disk nor the processor is idle, and the estimate is low at first
// (docs/benchmarks.md).
func (g *Group[T]) await(n int, timer *time.Timer) {
	g.mu.Lock()
	g.callers = max(n+g.waiting.Len(), g.callers*15/16)
	wanted := min(g.callers*5/8, g.limit)
	if g.gathered(wanted) {
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
	case <-g.enough: // the operations came at the same time as the timer
	default:
	}
}

// Close rejects further operations, and returns when the waiting ones are complete.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.running.Wait()
}
