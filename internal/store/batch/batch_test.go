package batch_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlauth/pawl/internal/store/batch"
)

// TestGroup blocks one commit while other operations wait. They share the next commits, without the one that gave up.
func TestGroup(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var batches [][]int // written by the one committer, read after Close
	group := batch.New(100, 1, 0, func(ops []*batch.Op[int]) {
		var values []int
		for _, op := range ops {
			values = append(values, op.Value)
			op.Value *= 2
		}
		batches = append(batches, values)
		if len(batches) == 1 {
			close(entered)
			<-release
		}
	})
	var callers sync.WaitGroup
	call := func(n int) {
		op := &batch.Op[int]{Value: n}
		if err := group.Do(t.Context(), op); err != nil || op.Value != 2*n {
			t.Errorf("operation %d has the result %d, %v; want %d", n, op.Value, err, 2*n)
		}
	}
	callers.Go(func() { call(1) })
	<-entered
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := group.Do(cancelled, &batch.Op[int]{Value: 99}); !errors.Is(err, context.Canceled) {
		t.Errorf("operation whose context ended: error %v, want %v", err, context.Canceled)
	}
	for n := range 10 {
		callers.Go(func() { call(n + 2) })
	}
	close(release)
	callers.Wait()
	group.Close()
	if err := group.Do(t.Context(), &batch.Op[int]{}); !errors.Is(err, batch.ErrClosed) {
		t.Errorf("operation after Close: error %v, want %v", err, batch.ErrClosed)
	}
	total := 0
	for _, values := range batches {
		total += len(values)
		if slices.Contains(values, 99) {
			t.Error("the operation whose context ended was committed")
		}
	}
	if total != 11 {
		t.Errorf("%d operations were committed, want 11: %v", total, batches)
	}
}

// TestManyGiveUp lets as many operations as may wait give up at the same time, while a commit hangs. Each one allocates
// a bounded number of bytes, is not committed, and makes room for another.
func TestManyGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		committed := 0 // written by the one committer, read after Close
		group := batch.New(100, 1, 0, func(ops []*batch.Op[int]) {
			if committed += len(ops); committed == 1 {
				<-release
			}
		})
		var callers, waiters sync.WaitGroup
		call := func(ctx context.Context, want error) {
			if err := group.Do(ctx, &batch.Op[int]{}); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
		}
		callers.Go(func() { call(t.Context(), nil) })
		synctest.Wait()
		const count = 10_000
		waiting, giveUp := context.WithCancel(t.Context())
		for range count {
			waiters.Go(func() { call(waiting, context.Canceled) })
		}
		synctest.Wait()
		call(t.Context(), batch.ErrFull)
		before := allocated()
		giveUp()
		waiters.Wait()
		if more := allocated() - before; more > count*1000 {
			t.Errorf("%d operations that gave up allocated %d bytes", count, more)
		}
		callers.Go(func() { call(t.Context(), nil) })
		close(release)
		callers.Wait()
		group.Close()
		if committed != 2 {
			t.Errorf("%d operations were committed, want 2", committed)
		}
	})
}

// start calls Do with operations of these weights, one after the other: each when those before are in a commit or wait.
// The returned function waits for all of them. It is for a test in a bubble.
func start(t *testing.T, group *batch.Group[int], weights ...int) (wait func()) {
	t.Helper()
	var callers sync.WaitGroup
	for _, weight := range weights {
		callers.Go(func() {
			if err := group.Do(t.Context(), &batch.Op[int]{Weight: weight}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
	}
	return callers.Wait
}

// TestWeights queues light and heavy operations while a commit runs. Each batch has the next ones in the order of the
// calls, and no batch but one of a single operation is heavier than the limit.
func TestWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 16
		release := make(chan struct{})
		var batches [][]int // the weights, written by the one committer, read after Close
		group := batch.New(limit, 1, time.Millisecond, func(ops []*batch.Op[int]) {
			var weights []int
			for _, op := range ops {
				weights = append(weights, op.Weight)
			}
			if batches = append(batches, weights); len(batches) == 1 {
				<-release
			}
		})
		want := [][]int{{1}, {8, 8}, {8, 1, 0, 1}, {16}, {1}, {40}, {1, 8}}
		wait := start(t, group, slices.Concat(want...)...)
		close(release)
		wait()
		group.Close()
		if !slices.EqualFunc(batches, want, slices.Equal) {
			t.Errorf("batches of the weights %v, want %v", batches, want)
		}
	})
}

// allocated returns how many bytes were allocated since the start of the process.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestGather checks that all operations of many callers are committed, and that a single caller does not wait, however
// long gather is.
func TestGather(t *testing.T) {
	for count, gather := range map[int]time.Duration{1: time.Hour, 64: time.Millisecond} {
		committed := 0 // written by the one committer, read after Close
		group := batch.New(256, 1, gather, func(ops []*batch.Op[int]) { committed += len(ops) })
		const rounds = 50
		var callers sync.WaitGroup
		for range count {
			callers.Go(func() {
				for range rounds {
					if err := group.Do(t.Context(), &batch.Op[int]{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		group.Close()
		if committed != count*rounds {
			t.Errorf("%d operations of %d callers were committed, want %d", committed, count, count*rounds)
		}
	}
}

// TestAdapt commits full batches that are fast or slow, and checks how many operations the next batch has.
func TestAdapt(t *testing.T) {
	const target = 100 * time.Millisecond
	steps := []struct {
		took time.Duration // of the commit
		next int           // size of the next batch
	}{
		{took: 0, next: 16},
		{took: target * 2 / 5, next: 32},
		{took: target * 3 / 5, next: 32}, // neither fast nor slow
		{took: 0, next: 64},
		{took: 0, next: 64}, // the limit
		{took: 2 * target, next: 32},
		{took: 2 * target, next: 16},
		{took: 2 * target, next: 8},
		{took: 2 * target, next: 8}, // the least
		{took: 0, next: 16},
	}
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var sizes []int // written by the one committer, read after Close
		group := batch.New(64, 1, 0, func(ops []*batch.Op[int]) {
			if sizes = append(sizes, len(ops)); len(sizes) == 1 {
				<-release // the other operations wait meanwhile
			} else if len(sizes)-2 < len(steps) {
				time.Sleep(steps[len(sizes)-2].took)
			}
		}).Adapt(8, target)
		wait := start(t, group, make([]int, 1000)...)
		close(release)
		wait()
		group.Close()
		if sizes[1] != 8 {
			t.Errorf("the first full batch has %d operations, want 8", sizes[1])
		}
		for i, step := range steps {
			if got := sizes[i+2]; got != step.next {
				t.Errorf("batch %d has %d operations, want %d", i+2, got, step.next)
			}
		}
	})
}

// TestAdaptNeedsFullBatches commits fast batches that are not full. They show nothing about larger ones.
func TestAdaptNeedsFullBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var sizes []int // written by the one committer, read after Close
		group := batch.New(64, 1, 0, func(ops []*batch.Op[int]) {
			if sizes = append(sizes, len(ops)); len(sizes) == 10 {
				<-release
			}
		}).Adapt(8, time.Hour)
		wait := start(t, group, make([]int, 109)...) // 9 are committed one by one, and 99 wait for the tenth
		close(release)
		wait()
		group.Close()
		if sizes[10] != 8 {
			t.Errorf("the first full batch has %d operations, want 8", sizes[10])
		}
	})
}

// TestShare lets operations wait while both committers run. Each then takes half of the operations, even if all of them
// fit into one batch.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex // guards sizes
		var sizes []int
		group := batch.New(64, 2, 0, func(ops []*batch.Op[int]) {
			mu.Lock()
			sizes = append(sizes, len(ops))
			first := len(sizes) <= 2
			mu.Unlock()
			if first {
				<-release
			}
		}).Adapt(8, time.Hour)
		group.Grow()
		wait := start(t, group, make([]int, 40)...)
		close(release)
		wait()
		group.Close()
		if largest := slices.Max(sizes); largest > 20 {
			t.Errorf("a batch has %d of 40 operations: %v", largest, sizes)
		}
	})
}
