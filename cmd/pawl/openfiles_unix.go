//go:build unix

package main

import (
	"math"
	"syscall"
)

// maxOpenFiles returns how many files the process may open, or 0 if that is unknown. Package os has raised the soft
// limit to the hard one.
func maxOpenFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
