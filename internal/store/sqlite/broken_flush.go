//go:build pawl_broken_flush

package sqlite

// brokenFlush keeps rotations in memory alone, so that a kill loses what a loss
// of power would lose without an fsync: the kernel keeps what a killed process
// wrote, so leaving out the fsync itself would not do. Only test/torture builds
// this, to prove that it would see the fault.
const brokenFlush = true
