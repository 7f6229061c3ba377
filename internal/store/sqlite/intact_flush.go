//go:build !pawl_broken_flush

package sqlite

const brokenFlush = false // see broken_flush.go
