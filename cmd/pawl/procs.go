package main

import (
	"os"
	"runtime"
)

// raiseProcs lets four threads run Go code on a machine with one processor, because with one thread every request waits
// for each flush of the disk. A GOMAXPROCS in the environment takes precedence. Where only a quota limits the
// processors to one, Go itself runs two threads, and four were no faster (docs/benchmarks.md).
func raiseProcs() {
	if runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(4)
	}
}
