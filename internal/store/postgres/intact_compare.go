//go:build !pawl_broken_compare

package postgres

// compare is the compare of the compare-and-swap.
const compare = "s.generation = n.origin"
