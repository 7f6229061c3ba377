// Package torture_test kills and pauses the real binary at random moments under load, and checks that its answers are
// linearizable: some order of the calls, each between its request and its response, must explain every answer.
//
// Callers sign in and share each session among workers (caller_test.go), which send calls to a fleet of nodes
// (worker_test.go, fleet_test.go), and tokens to a client.Verifier (verifier_test.go), whose connections and wall clock
// are disturbed. Each caller is a member of a family: an administrator changes a user, and the Root takes the rights of
// both away and gives them back (family_test.go). The history of all calls (history_test.go) is checked twice: by
// counting plain faults (count_test.go), and by porcupine against a model of the contract, one of a session
// (model_test.go) and one of a family (familymodel_test.go). Binaries with deliberate faults show that the checks find
// them (mutants_test.go).
package torture_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

var (
	kills    = flag.Int("kills", 0, "number of kills on each store; 0 means a short run")
	duration = flag.Duration("for", 0, "kill for this long instead of a number of times")
	seed     = flag.Uint64("seed", 0, "seed of the clients' choices; 0 means a random seed")
)

// killsOr returns the value of -kills, or short if it is 0.
func killsOr(short int) int {
	if *kills > 0 {
		return *kills
	}
	return short
}

// settings are the flags of every node. Password hashes are cheap, because they are not under test.
var settings = []string{
	"--password-memory", "8", "--password-passes", "1",
	"--token-life", fmt.Sprint(tokenLife, "s"), "--idle-life", fmt.Sprint(idleLife, "s"),
}

// sqlite returns a starter of "pawl dev" on one data folder.
func sqlite(t *testing.T, binary string) starter {
	data := filepath.Join(t.TempDir(), "data")
	return func(int) node {
		dev := testbin.StartDev(t, binary, data, settings...)
		return node{
			url: dev.Env["PAWL_URL"], adminKey: dev.Env["PAWL_ADMIN_API_KEY"], kill: dev.Kill,
			signal: func(s os.Signal) { _ = dev.Process.Signal(s) }, // an error means that it has exited
		}
	}
}

// killsOfHistory limits the kills that are checked together, so that the memory of a long run is bounded.
const killsOfHistory = 50

// maxTries is how often torture runs a plan if a situation is missing. Each situation depends on chance: the client of
// a session that waits for its late replay may lose the session to a kill, for example.
const maxTries = 4

// torture runs p until it has reached the number of kills, with every situation that makes the run significant, or has
// found a fault. If during is above 0, it limits the time instead of the number of kills.
func torture(t *testing.T, p plan, kills int, during time.Duration) *report {
	t.Helper()
	total := &report{}
	for try := range maxTries {
		p.name = fmt.Sprintf("try-%d-", try)
		total.add(tortureUntil(t, p, kills, during, func(r *report) bool { return !r.good() }))
		missing := p.missing(total)
		if !total.good() || len(missing) == 0 {
			break
		}
		t.Logf("try %d lacks %q", try, missing)
	}
	return total
}

// tortureUntil runs p repeatedly, each time with a new history, until it has reached the number of kills or a result.
func tortureUntil(t *testing.T, p plan, kills int, during time.Duration, found func(*report) bool) *report {
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
	p.more = func(n int) bool { return n < cmp.Or(p.killsOfHistory, killsOfHistory) && more(n) }
	name := p.name
	for round := 0; more(0) && !found(total); round++ {
		p.name = fmt.Sprintf("%sround-%d", name, round)
		t.Logf("%s: seed %d", p.name, p.seed)
		total.add(run(t, p))
		p.seed++
	}
	return total
}

// TestTorture kills one node on SQLite. It is short in "make test" and long in "make torture".
func TestTorture(t *testing.T) {
	p := plan{start: sqlite(t, testbin.Build(t)), nodes: 1, families: 3, patient: true, verifier: true}
	wanted := killsOr(20)
	if testing.Short() {
		wanted, p.patient = min(wanted, 5), false
	}
	r := torture(t, p, wanted, *duration)
	checkReport(t, p, r)
}

// checkReport fails the test if a run has found a fault, or lacks the situations that make it significant.
func checkReport(t *testing.T, p plan, r *report) {
	t.Helper()
	t.Log(r)
	if !r.good() {
		t.Error("the answers violate the contract")
	}
	if missing := p.missing(r); len(missing) > 0 {
		t.Errorf("the run is not significant: it lacks %q", missing)
	}
}

// missing returns the situations that a run lacks. Without them, its success means little.
func (p plan) missing(r *report) (names []string) {
	for name, needed := range map[string]bool{
		"kills": r.kills == 0, "replays": r.replays == 0, "pauses": r.pauses == 0, "changes by admins": r.changes == 0,
		"refused changes":                   r.refusals == 0,
		"outages":                           p.outage != nil && r.outages == 0,
		"cuts":                              p.verifier && r.cuts == 0,
		"clock steps":                       p.verifier && r.steps == 0,
		"answers without a question":        p.verifier && r.inMemory == 0,
		"thefts":                            p.patient && r.thefts == 0,
		"replays of expired tokens":         p.patient && r.lateReplays == 0,
		"successful refreshes after an exp": p.patient && r.lateTokens == 0,
	} {
		if needed {
			names = append(names, name)
		}
	}
	return names
}

// TestTortureSeesFaults checks that porcupine finds each mutant of the SQLite store, and the count that is named after
// the fault too, if there is one.
func TestTortureSeesFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("builds another binary")
	}
	binary := buildMutants(t)
	for _, m := range sqliteMutants {
		if m.long && *kills == 0 {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Setenv(mutantVariable, m.name)
			m.checkFound(t, plan{start: sqlite(t, binary), nodes: 1, families: 3, verifier: m.verifier})
		})
	}
}

// checkFound fails the test unless a run has found the mutant's fault.
func (m mutant) checkFound(t *testing.T, p plan) {
	t.Helper()
	p.killsOfHistory = m.kills
	r := tortureUntil(t, p, mutantRounds*m.kills, 0, m.found) // a fault may show itself in other ways first
	t.Log(r)
	if !m.found(r) {
		t.Errorf("the torture test does not find the fault of %q", m.name)
	}
}
