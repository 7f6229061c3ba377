// Package torture_test kills the real binary at random moments while clients
// refresh, and checks that what they were answered is one history: that some
// order of single steps, each between its call and its answer, explains it all.
package torture_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/testbin"
)

var (
	kills    = flag.Int("kills", 20, "how many times the server is killed")
	duration = flag.Duration("for", 0, "kill for that long, however many times")
	seed     = flag.Uint64("seed", 0, "what the clients choose by; 0: of the clock")
)

// sqlite starts "pawl dev" on one data folder. Passwords cost next to nothing,
// as the test is not about them.
func sqlite(t *testing.T, binary string) starter {
	data := filepath.Join(t.TempDir(), "data")
	return func(int) node {
		dev := testbin.StartDev(t, binary, data, "--password-memory", "8", "--password-passes", "1")
		return node{dev.Env["PAWL_URL"], dev.Env["PAWL_ADMIN_API_KEY"], func() {
			_ = dev.Process.Kill() // an error says that it has ended
			_ = dev.Wait()         // it says that it was killed
		}}
	}
}

// inOneHistory is how many kills are checked together: what a long run keeps
// in memory has a bound.
const inOneHistory = 50

// torture runs until enough is enough, in histories of their own.
func torture(t *testing.T, start starter, nodes, kills int, until time.Time) *report {
	t.Helper()
	total := &report{}
	from := *seed
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	more := func(n int) bool { return total.kills+n < kills }
	if !until.IsZero() {
		more = func(int) bool { return time.Now().Before(until) }
	}
	for round := 0; more(0); round++ {
		total.add(run(t, plan{start: start, nodes: nodes, users: 4, seed: from + uint64(round), name: fmt.Sprint("round-", round),
			more: func(n int) bool { return n < inOneHistory && more(n) }}))
		if !total.good() {
			t.Logf("seed %d", from+uint64(round))
			break
		}
	}
	return total
}

// TestTorture is short in "make test", and long in "make torture".
func TestTorture(t *testing.T) {
	wanted := *kills
	if testing.Short() {
		wanted = 5
	}
	var until time.Time
	if *duration > 0 {
		until = time.Now().Add(*duration)
	}
	r := torture(t, sqlite(t, testbin.Build(t)), 1, wanted, until)
	t.Log(r)
	if !r.good() || r.kills == 0 {
		t.Fail()
	}
}

// TestTortureSeesFaults breaks the store in two ways, and wants each found: by
// porcupine, and by the count that is named after it.
func TestTortureSeesFaults(t *testing.T) {
	for _, c := range []struct {
		tag   string
		found func(*report) bool
	}{
		{"pawl_broken_compare", func(r *report) bool { return r.double > 0 }},
		{"pawl_broken_flush", func(r *report) bool { return r.lost > 0 }},
	} {
		t.Run(c.tag, func(t *testing.T) {
			r := torture(t, sqlite(t, testbin.Build(t, "-tags", c.tag)), 1, 3, time.Time{})
			t.Log(r)
			if r.illegal == 0 || !c.found(r) {
				t.Error("the fault was not found")
			}
		})
	}
}
