package main

import (
	"runtime"
	"testing"
)

// TestHeapFloor: with the floor the next collection is far off; a GOGC of the
// operator's, and the end of the server, take the floor away.
func TestHeapFloor(t *testing.T) {
	next := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.NextGC
	}
	t.Setenv("GOGC", "")
	release := holdHeapFloor()
	if got := next(); got < 2*heapFloor {
		t.Errorf("with the floor the next collection is at %d bytes, want %d or more", got, 2*heapFloor)
	}
	release()
	t.Setenv("GOGC", "100")
	release = holdHeapFloor()
	if got := next(); got >= 2*heapFloor {
		t.Errorf("with GOGC set the next collection is at %d bytes, want less than %d", got, 2*heapFloor)
	}
	release()
}
