package main

import (
	"os"
	"runtime"
)

// raiseProcs lets four threads run Go code on a machine with one processor, because with one thread every request waits
// for each flush of the disk. A GOMAXPROCS in the environment takes precedence. Go itself runs two threads where only a
// quota limits the processors.
func raiseProcs() {
	if runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(4)
	}
}
