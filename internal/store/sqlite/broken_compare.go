//go:build pawl_broken_compare

package sqlite

// brokenCompare leaves the compare of the compare-and-swap out. Only
// test/torture builds this, to prove that it would see the fault.
const brokenCompare = true
