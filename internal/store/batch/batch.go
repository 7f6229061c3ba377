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
	least  int           // see Adapt; limit without it
	target time.Duration // see Adapt; 0 without it

	committers int

	mu      sync.Mutex // guards the fields below
	waiting list.List  // of *Op[T]; a list, because any of them may give up, and thousands at the same time
	weight  int        // of the waiting operations
	taken   int        // weight of the operations in commits
	size    int        // the present limit of a batch, from least to limit
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
	return &Group[T]{
		commit: commit, limit: limit, gather: gather, least: limit, size: limit, committers: committers,
		idle: committers, enough: make(chan struct{}, 1),
	}
}

// Adapt lets the limit of a batch follow the speed of the commits, and returns g. It must be called before Do. The
// first batches have the limit least. A full batch doubles the limit if its commit takes less than half of target. Any
// batch halves the limit if its commit takes more than target. So large batches are for a store that is fast enough for
// them, and a slow store does not run into the timeout of a statement.
//
// A batch larger than least also has no more than its share of all operations, so that the committers have batches of
// equal size. Otherwise one of them would take all operations, and the others would commit the few that come first.
func (g *Group[T]) Adapt(least int, target time.Duration) *Group[T] {
	g.least, g.size = least, least
	g.target = target
	return g
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
		ops, full := g.take()
		if len(ops) == 0 {
			g.idle++
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		start := time.Now()
		g.commit(ops)
		g.finish(ops, full, time.Since(start))
		for _, op := range ops {
			close(op.done)
		}
		if g.gather > 0 {
			g.await(len(ops), timer)
		}
	}
}

// finish adapts the limit of a batch after a commit.
func (g *Group[T]) finish(ops []*Op[T], full bool, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, op := range ops {
		g.taken -= op.weight()
	}
	switch {
	case g.target == 0:
	case took > g.target:
		g.size = max(g.size/2, g.least)
	case full && took < g.target/2:
		g.size = min(g.size*2, g.limit)
	}
}

// take removes the next batch from the waiting operations, and reports whether its size is the present limit; g.mu is
// held.
func (g *Group[T]) take() (ops []*Op[T], full bool) {
	share := (g.weight + g.taken + g.committers - 1) / g.committers
	size := min(g.size, max(g.least, share))
	ops = make([]*Op[T], 0, min(g.waiting.Len(), size))
	weight := 0
	for e := g.waiting.Front(); e != nil; e = g.waiting.Front() {
		op := e.Value.(*Op[T])
		if weight+op.weight() > size && len(ops) > 0 {
			break
		}
		weight += op.weight()
		g.waiting.Remove(e)
		op.element = nil
		ops = append(ops, op)
	}
	g.weight -= weight
	g.taken += weight
	return ops, weight >= g.size
}

// gathered reports whether n operations wait, or a full batch of fewer; g.mu is held.
func (g *Group[T]) gathered(n int) bool { return g.waiting.Len() >= n || g.weight >= g.size }

// await waits for more operations after a commit of n. It waits for five eighths of the callers: with half of them in a
// commit and the other half being served, neither the disk nor the processor is idle, and the estimate is low at first
// (docs/benchmarks.md).
func (g *Group[T]) await(n int, timer *time.Timer) {
	g.mu.Lock()
	g.callers = max(n+g.waiting.Len(), g.callers*15/16)
	wanted := min(g.callers*5/8, g.size)
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
