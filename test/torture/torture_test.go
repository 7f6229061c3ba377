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

	"github.com/pawlauth/pawl/internal/test/testbin"
)

var (
	kills    = flag.Int("kills", 0, "how many times a server is killed on each store; 0: a short run")
	duration = flag.Duration("for", 0, "kill for that long, however many times")
	seed     = flag.Uint64("seed", 0, "what the clients choose by; 0: of the clock")
)

// killsOr is how many kills were asked for, or that number.
func killsOr(short int) int {
	if *kills > 0 {
		return *kills
	}
	return short
}

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

// torture runs p, in histories of their own, until it has seen so many kills, or
// for so long if that is not 0, or until something is wrong.
func torture(t *testing.T, p plan, kills int, during time.Duration) *report {
	t.Helper()
	total, began := &report{}, time.Now()
	more := func(n int) bool { return total.kills+n < kills }
	if during > 0 {
		more = func(int) bool { return time.Since(began) < during }
	}
	p.seed = *seed
	if p.seed == 0 {
		p.seed = uint64(began.UnixNano())
	}
	p.more = func(n int) bool { return n < inOneHistory && more(n) }
	for round := 0; more(0) && total.good(); round++ {
		p.name = fmt.Sprint("round-", round)
		t.Logf("%s: seed %d", p.name, p.seed)
		total.add(run(t, p))
		p.seed++
	}
	return total
}

// TestTorture is short in "make test", and long in "make torture".
func TestTorture(t *testing.T) {
	p, wanted := plan{start: sqlite(t, testbin.Build(t)), nodes: 1, users: 4, patient: true}, killsOr(20)
	if testing.Short() {
		wanted, p.patient = min(wanted, 5), false
	}
	r := torture(t, p, wanted, *duration)
	t.Log(r)
	if !r.good() {
		t.Error("the answers are not those of the contract")
	}
	if r.kills == 0 || r.replays == 0 || p.patient && r.thefts == 0 {
		t.Error("the run did not meet what it is for")
	}
}

// TestTortureSeesFaults checks that both porcupine and the count that is named after the fault find each mutant of the
// SQLite store.
func TestTortureSeesFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary twice more")
	}
	for _, m := range sqliteMutants {
		t.Run(m.name, func(t *testing.T) {
			r := torture(t, plan{start: sqlite(t, m.build(t)), nodes: 1, users: 4}, m.kills, 0)
			checkFound(t, m, r)
		})
	}
}

// checkFound fails the test unless a run has found the mutant's fault.
func checkFound(t *testing.T, m mutant, r *report) {
	t.Helper()
	t.Log(r)
	if r.illegal == 0 || !m.found(r) {
		t.Errorf("the torture test does not find the fault of %q", m.name)
	}
}
