package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/store/sqlite"
)

const (
	// heapFloor is the size in bytes of an allocation counted as live by the garbage collector. The allocation uses no
	// memory, because nothing ever touches it. A Pawl with few sessions has a small heap, and under load fills it many
	// times a second. With the floor, the collector starts at about 70 MB, and both calls take less processor time
	// (docs/benchmarks.md).
	heapFloor = 32 << 20
	// heapRoom is how much the heap may grow between two collections, in addition to a sixteenth of the sessions.
	heapRoom = 64 << 20

	heapTuneInterval = 10 * time.Second
)

// tuneHeap tunes the garbage collector to the store, until release is called. A GOGC in the environment takes
// precedence.
//
// By default, the heap may grow by as much as is live before the next collection, so a session would take twice its
// size. But the sessions of the SQLite store are in memory without pointers, and a collection does not read such
// memory. So frequent collections cost no more with millions of sessions than without any.
func tuneHeap(store app.Store) (release func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	floor := make([]byte, heapFloor)
	file, embedded := store.(*sqlite.Store)
	if !embedded {
		return func() { runtime.KeepAlive(floor) }
	}
	percent := gcPercent(file.Stats().Bytes)
	before := debug.SetGCPercent(percent)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(heapTuneInterval)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if next := gcPercent(file.Stats().Bytes); next != percent { // Each SetGCPercent stops the world.
				percent = next
				debug.SetGCPercent(percent)
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		debug.SetGCPercent(before)
		runtime.KeepAlive(floor)
	}
}

// gcPercent returns the GOGC for a heap in which the sessions take a number of bytes.
func gcPercent(sessions int64) int {
	return int(100 * (heapRoom + sessions/16) / (heapRoom + sessions))
}
