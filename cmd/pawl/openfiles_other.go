//go:build !unix

package main

// maxOpenFiles returns 0, because the system has no limit of open files.
func maxOpenFiles() int { return 0 }
