package batch_test

import (
	"context"
	"errors"
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
