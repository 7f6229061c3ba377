package main

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/pawlauth/pawl/internal/store/sqlite"
)

// TestHeapFloor checks that the floor postpones the next collection, and is removed by the end of the server and by an
// operator's GOGC.
func TestHeapFloor(t *testing.T) {
	next := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.NextGC
	}
	t.Setenv("GOGC", "")
	release := tuneHeap(nil)
	if got := next(); got < 2*heapFloor {
		t.Errorf("with the floor the next collection is at %d bytes, want at least %d", got, 2*heapFloor)
	}
	release()
	t.Setenv("GOGC", "100")
	release = tuneHeap(nil)
	if got := next(); got >= 2*heapFloor {
		t.Errorf("with GOGC set the next collection is at %d bytes, want less than %d", got, 2*heapFloor)
	}
	release()
}

// TestGCPercent checks that tuneHeap sets the percentage for the sessions of the SQLite store, restores the percentage
// of the process at the end, and lets an operator's GOGC take precedence.
func TestGCPercent(t *testing.T) {
	for sessions, want := range map[int64]int{0: 100, 64 << 20: 53, 1 << 30: 11} {
		if got := gcPercent(sessions); got != want {
			t.Errorf("with %d bytes of sessions the percentage is %d, want %d", sessions, got, want)
		}
	}
	store, err := sqlite.Open(t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const operators = 37
	defer debug.SetGCPercent(debug.SetGCPercent(operators))
	percent := func() int {
		present := debug.SetGCPercent(operators)
		debug.SetGCPercent(present)
		return present
	}
	if got := percent(); got != operators {
		t.Errorf("the store set the percentage to %d", got)
	}
	t.Setenv("GOGC", "")
	release := tuneHeap(store)
	if got, want := percent(), gcPercent(store.Stats().Bytes); got != want {
		t.Errorf("the percentage is %d, want %d", got, want)
	}
	release()
	if got := percent(); got != operators {
		t.Errorf("after the release the percentage is %d, want %d", got, operators)
	}
	t.Setenv("GOGC", "37")
	release = tuneHeap(store)
	if got := percent(); got != operators {
		t.Errorf("with GOGC set the percentage is %d, want %d", got, operators)
	}
	release()
}
