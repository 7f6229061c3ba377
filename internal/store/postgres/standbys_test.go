package postgres

import "testing"

// TestStandbys interprets the settings of PostgreSQL. A lease needs a commit that waits for every standby named.
func TestStandbys(t *testing.T) {
	for _, c := range []struct {
		names, commit   string
		required, total int
		leases          bool
	}{
		{names: "", commit: "on"},
		{names: " ", commit: "on"},
		{names: "a", commit: "local", total: 0},
		{names: "a", commit: "off"},
		{names: "a", commit: "on", required: 1, total: 1, leases: true},
		{names: `"site 2"`, commit: "remote_write", required: 1, total: 1, leases: true},
		{names: `"a,(b)"`, commit: "remote_apply", required: 1, total: 1, leases: true},
		{names: "a, b", commit: "on", required: 1, total: 2},
		{names: "FIRST 1 (a, b)", commit: "on", required: 1, total: 2},
		{names: "1 (a)", commit: "on", required: 1, total: 1, leases: true},
		{names: "2 (a,b)", commit: "on", required: 2, total: 2, leases: true},
		{names: `FIRST 2 ("x(1)", "y)2")`, commit: "on", required: 2, total: 2, leases: true},
		{names: "ANY 1 (a, b)", commit: "on", required: 1, total: 2},
		{names: "any 2(a,b)", commit: "on", required: 2, total: 2, leases: true},
		{names: "ANY 2 (a, b, c)", commit: "on", required: 2, total: 3},
		{names: "*", commit: "on", required: 1},
		{names: "ANY 2 (a, *)", commit: "on", required: 2},
	} {
		got := newStandbys(c.names, c.commit)
		if got.required != c.required || got.total != c.total || got.leases() != c.leases {
			t.Errorf("%q, %s: %d of %d, leases %v; want %d of %d, %v",
				c.names, c.commit, got.required, got.total, got.leases(), c.required, c.total, c.leases)
		}
	}
}
