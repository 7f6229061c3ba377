package batch_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/store/batch"
)

// TestGroup holds one commit back while others gather: they share the next
// one, and the one that gave up is not in it.
func TestGroup(t *testing.T) {
	type batchOf []int
	entered, release := make(chan struct{}), make(chan struct{})
	var batches []batchOf // written by the one committer, read after Close
	group := batch.New(100, 1, func(ops []*batch.Op[int]) {
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
