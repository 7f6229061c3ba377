//go:build !pawl_broken_compare

package sqlite

const brokenCompare = false // see broken_compare.go
