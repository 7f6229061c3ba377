//go:build pawl_broken_compare

package postgres

// compare lets each rotation pass. Only test/torture builds this, to prove that
// it would see the fault.
const compare = "true"
