package main

import (
	"os"
	"runtime"
)

// heapFloor is how much the garbage collector takes for live at the least, in
// bytes. A Pawl with few sessions has a small heap, which fills many times a
// second under load; with the floor it is collected at some 70 MB, and a large
// heap as ever. That is worth a tenth of the requests (docs/benchmarks.md).
const heapFloor = 32 << 20

// holdHeapFloor sets the floor until release is called. A GOGC in the
// environment turns it off: then the operator decides.
//
// The floor is memory that is never touched: it has addresses and no pages.
func holdHeapFloor() (release func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
