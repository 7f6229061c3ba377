//go:build pawl_broken_flush

package sqlite

// brokenFlush lets rotations be answered before they are committed. Only
// test/torture builds this, to prove that it would see the fault. A commit
// without its fsync would not do: the kernel keeps what a killed process wrote,
// and only a loss of power loses it.
const brokenFlush = true
