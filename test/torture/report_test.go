package torture_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// report has the figures and the faults of a run.
type report struct {
	calls, unanswered, sessions, changes, refusals int
	// kills, outages and pauses are of nodes or their shared state. cuts are of nodes from the shared state, or of the
	// verifier from the nodes. steps are of wall clocks.
	kills, outages, pauses, cuts, steps int
	seen
	faults
	odd          int // answers that violate the contract on their own
	illegal      int // sessions whose history is not linearizable
	illegalUsers int // families whose history is not linearizable
	inMemory     int // tokens that the verifier accepted without a question
	local        int // answers of the verifier
	wrongLocal   int // wrong ones
	text         strings.Builder
}

func (r *report) String() string {
	return fmt.Sprintf("%d kills, %d outages, %d pauses, %d cuts, %d clock steps, "+
		"%d calls (%d without an answer), %d sessions; %d replays "+
		"(%d of expired tokens), %d refreshes of expired tokens, %d thefts; %d changes by admins (%d refused).\n"+
		"Acknowledged refreshes lost: %d. Double successors: %d. Superseded tokens accepted: %d. "+
		"Answers that violate the contract: %d. Sessions not linearizable: %d. Families not linearizable: %d.\n"+
		"Answers of the verifier: %d. Accepted without a question: %d. Wrong: %d.\n%s",
		r.kills, r.outages, r.pauses, r.cuts, r.steps,
		r.calls, r.unanswered, r.sessions, r.replays, r.lateReplays, r.lateTokens,
		r.thefts, r.changes, r.refusals,
		r.lost, r.double, r.superseded, r.odd, r.illegal, r.illegalUsers, r.local, r.inMemory, r.wrongLocal,
		r.text.String())
}

func (r *report) good() bool {
	return r.faults == faults{} && r.odd == 0 && r.illegal == 0 && r.illegalUsers == 0 && r.wrongLocal == 0
}

// add adds the figures and the text of another report.
func (r *report) add(o *report) {
	r.calls += o.calls
	r.unanswered += o.unanswered
	r.sessions += o.sessions
	r.kills += o.kills
	r.outages += o.outages
	r.pauses += o.pauses
	r.cuts += o.cuts
	r.steps += o.steps
	r.changes += o.changes
	r.refusals += o.refusals
	r.addCounts(o.faults, o.seen)
	r.odd += o.odd
	r.illegal += o.illegal
	r.illegalUsers += o.illegalUsers
	r.inMemory += o.inMemory
	r.local += o.local
	r.wrongLocal += o.wrongLocal
	r.text.WriteString(o.text.String())
}

func (r *report) addCounts(f faults, s seen) {
	r.lost += f.lost
	r.double += f.double
	r.superseded += f.superseded
	r.replays += s.replays
	r.lateReplays += s.lateReplays
	r.lateTokens += s.lateTokens
	r.thefts += s.thefts
}

// checkTimeout limits the check of one session, which rarely takes a tenth of a second.
const checkTimeout = time.Minute

// maxPrinted limits how many sessions and how many odd answers are printed.
const maxPrinted = 2

// check counts the faults of a history, and checks with porcupine that each session and each family is linearizable.
func (r *report) check(h *history) {
	r.calls = len(h.calls)
	for _, c := range h.calls {
		if c.answer == none {
			r.unanswered++
		}
		if c.byAdmin && c.answer == done {
			r.changes++
		}
		if c.byAdmin && (c.answer == denied || c.answer == rejected) {
			r.refusals++
		}
		if c.odd != "" {
			r.odd++
			if r.odd <= maxPrinted {
				fmt.Fprintln(&r.text, c)
			}
		}
	}
	sessions := h.sessions()
	r.sessions = len(sessions)
	r.checkLocal(h, sessions)
	for _, id := range slices.Sorted(maps.Keys(sessions)) {
		calls := sessions[id]
		found, saw := count(calls)
		if h.clocksSet {
			found.lost = 0
			r.addCounts(found, saw)
			continue
		}
		r.addCounts(found, saw)
		if !r.isLinearizable(fmt.Sprintf("Session %s, %+v", id, found), r.illegal, model(), operations(calls)) {
			r.illegal++
		}
	}
	if h.clocksSet {
		return
	}
	for _, f := range h.families {
		if !r.isLinearizable("Family of "+f.adminLogin, r.illegalUsers, f.model(), f.operations(h.calls)) {
			r.illegalUsers++
		}
	}
}

// checkLocal checks the answers of the verifier.
func (r *report) checkLocal(h *history, sessions map[string][]*call) {
	r.local = len(h.local)
	for _, c := range h.local {
		if c.inMemory {
			r.inMemory++
		}
		if h.clocksSet && c.answer == rejected {
			continue // an expired token passes again after a clock was set back
		}
		if wrong := c.wrongAnswer(sessions[c.with.session]); wrong != "" {
			r.wrongLocal++
			if r.wrongLocal <= maxPrinted {
				fmt.Fprintf(&r.text, "The verifier %s: session %s, generation %d\n", wrong, c.with.session,
					c.with.generation)
			}
		}
	}
}

// isLinearizable reports whether a model explains the operations. If not, and few histories were printed before, it
// prints the history.
func (r *report) isLinearizable(name string, printed int, m porcupine.Model, ops []porcupine.Operation) bool {
	result := porcupine.CheckOperationsTimeout(m, ops, checkTimeout)
	if result != porcupine.Ok && printed < maxPrinted {
		fmt.Fprintf(&r.text, "%s: %s\n", name, result)
		if result == porcupine.Illegal {
			r.explain(m, ops)
		}
	}
	return result == porcupine.Ok
}

// callsBefore is how many calls are printed before the first unexplained call.
const callsBefore = 30

// explain prints the calls around the first unexplained call: of the calls that are missing from the longest partial
// linearization, the call that returned first.
func (r *report) explain(m porcupine.Model, ops []porcupine.Operation) {
	_, info := porcupine.CheckOperationsVerbose(m, ops, checkTimeout)
	var longest []porcupine.Operation
	for _, partial := range info.PartialLinearizationsOperations()[0] {
		if len(partial) > len(longest) {
			longest = partial
		}
	}
	placed := map[step]bool{}
	for _, op := range longest {
		placed[op.Input.(step)] = true
	}
	ops = slices.SortedFunc(slices.Values(ops), func(a, b porcupine.Operation) int {
		return cmp.Compare(a.Return, b.Return)
	})
	unexplained := slices.IndexFunc(ops, func(op porcupine.Operation) bool { return !placed[op.Input.(step)] })
	if unexplained < 0 {
		return // this check timed out
	}
	first := slices.MinFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) }).Call
	shown := ops[max(0, unexplained-callsBefore):min(len(ops), unexplained+5)]
	fmt.Fprintf(&r.text, "    from     to ms\n")
	killed := map[*life]bool{}
	for i, op := range shown {
		s := op.Input.(step)
		for _, earlier := range shown {
			l := earlier.Input.(step).life
			if l.killed > shown[0].Return && l.killed < op.Return && !killed[l] {
				killed[l] = true
				fmt.Fprintf(&r.text, "            %9.2f kill -9\n", ms(l.killed-first))
			}
		}
		mark := " "
		if i == unexplained-max(0, unexplained-callsBefore) {
			mark = ">"
		}
		fmt.Fprintf(&r.text, "%s %9.2f %9.2f user %d, %s: %v\n", mark, ms(op.Call-first), ms(op.Return-first),
			s.user, s.kind, s.call)
	}
}

func ms(d int64) float64 { return float64(d) / float64(time.Millisecond) }
