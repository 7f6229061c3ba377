package batch_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/store/batch"
)

// TestGroup holds one commit back while others gather: they share the next
// one, and the one that gave up is not in it.
func TestGroup(t *testing.T) {
	type batchOf []int
	entered, release := make(chan struct{}), make(chan struct{})
	var batches []batchOf // written by the one committer, read after Close
	group := batch.New(100, 1, 0, func(ops []*batch.Op[int]) {
		var values batchOf
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
			t.Errorf("%d: %d, %v", n, op.Value, err)
		}
	}
	callers.Go(func() { call(1) })
	<-entered
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	if err := group.Do(gaveUp, &batch.Op[int]{Value: 99}); !errors.Is(err, context.Canceled) {
		t.Errorf("gave up: %v", err)
	}
	for n := range 10 {
		callers.Go(func() { call(n + 2) })
	}
	close(release)
	callers.Wait()
	group.Close()
	if err := group.Do(t.Context(), &batch.Op[int]{}); !errors.Is(err, batch.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	total := 0
	for _, values := range batches {
		total += len(values)
		for _, v := range values {
			if v == 99 {
				t.Error("what was taken back was committed")
			}
		}
	}
	if total != 11 {
		t.Errorf("%d ops were committed, want 11: %v", total, batches)
	}
}

// TestManyGiveUp: as many as may wait behind a commit that hangs all give up at
// once. Each costs the same however many wait, the places are free again, and
// nothing of theirs is committed.
func TestManyGiveUp(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	served := 0 // written by the one committer, read after Close
	group := batch.New(100, 1, 0, func(ops []*batch.Op[int]) {
		if served += len(ops); served == 1 {
			close(entered)
			<-release
		}
	})
	var callers, hangers sync.WaitGroup
	call := func(ctx context.Context, want error) {
		if err := group.Do(ctx, &batch.Op[int]{}); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	callers.Go(func() { call(t.Context(), nil) })
	<-entered
	const many = 10_000
	hanging, giveUp := context.WithCancel(t.Context())
	for range many {
		hangers.Go(func() {
			err := batch.ErrFull
			for errors.Is(err, batch.ErrFull) { // the probe below has the last place
				err = group.Do(hanging, &batch.Op[int]{})
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("gave up: %v", err)
			}
		})
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for !errors.Is(group.Do(gone, &batch.Op[int]{}), batch.ErrFull) {
		runtime.Gosched()
	}
	before := allocated()
	giveUp()
	hangers.Wait()
	if more := allocated() - before; more > many*1000 {
		t.Errorf("%d that gave up took %d bytes", many, more)
	}
	callers.Go(func() { call(t.Context(), nil) })
	close(release)
	callers.Wait()
	group.Close()
	if served != 2 {
		t.Errorf("%d ops were committed, want 2", served)
	}
}

// allocated is how many bytes were ever taken from the heap.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestGather: many callers that come again and again are all served, and one
// alone does not wait for others, however long it might.
func TestGather(t *testing.T) {
	for count, gather := range map[int]time.Duration{1: time.Hour, 64: time.Millisecond} {
		served := 0 // written by the one committer, read after Close
		group := batch.New(256, 1, gather, func(ops []*batch.Op[int]) { served += len(ops) })
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
		if served != count*rounds {
			t.Errorf("%d callers: %d ops were committed, want %d", count, served, count*rounds)
		}
	}
}
