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
	calls, unanswered, kills, outages, sessions int
	seen
	faults
	odd     int // answers that violate the contract on their own
	illegal int // sessions whose history is not linearizable
	text    strings.Builder
}

func (r *report) String() string {
	return fmt.Sprintf("%d kills, %d outages, %d calls (%d without an answer), %d sessions; %d replays, %d thefts.\n"+
		"Acknowledged refreshes lost: %d. Double successors: %d. Superseded tokens accepted: %d. "+
		"Answers that violate the contract: %d. Sessions not linearizable: %d.\n%s",
		r.kills, r.outages, r.calls, r.unanswered, r.sessions, r.replays, r.thefts,
		r.lost, r.double, r.superseded, r.odd, r.illegal, r.text.String())
}

func (r *report) good() bool { return r.faults == faults{} && r.odd == 0 && r.illegal == 0 }

// add adds the figures and the text of another report.
func (r *report) add(o *report) {
	r.calls += o.calls
	r.unanswered += o.unanswered
	r.sessions += o.sessions
	r.kills += o.kills
	r.outages += o.outages
	r.addCounts(o.faults, o.seen)
	r.odd += o.odd
	r.illegal += o.illegal
	r.text.WriteString(o.text.String())
}

func (r *report) addCounts(f faults, s seen) {
	r.lost += f.lost
	r.double += f.double
	r.superseded += f.superseded
	r.replays += s.replays
	r.thefts += s.thefts
}

// checkTimeout limits the check of one session, which rarely takes a tenth of a second.
const checkTimeout = time.Minute

// maxPrinted limits how many sessions and how many odd answers are printed.
const maxPrinted = 2

// check counts the faults of all sessions, and checks with porcupine that each session is linearizable.
func (h *history) check() *report {
	r := &report{calls: len(h.calls)}
	for _, c := range h.calls {
		if c.answer == none {
			r.unanswered++
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
	for _, id := range slices.Sorted(maps.Keys(sessions)) {
		r.checkSession(id, sessions[id])
	}
	return r
}

func (r *report) checkSession(id string, calls []*call) {
	found, saw := count(calls)
	r.addCounts(found, saw)
	if result := porcupine.CheckOperationsTimeout(model(), operations(calls), checkTimeout); result != porcupine.Ok {
		r.illegal++
		if r.illegal <= maxPrinted {
			fmt.Fprintf(&r.text, "Session %s: %s, %+v\n", id, result, found)
			r.explain(calls)
		}
	}
}

// callsBefore is how many calls are printed before the first unexplained call.
const callsBefore = 30

// explain prints the calls around the first unexplained call: of the calls that are missing from the longest partial
// linearization, the call that returned first.
func (r *report) explain(calls []*call) {
	_, info := porcupine.CheckOperationsVerbose(model(), operations(calls), checkTimeout)
	var longest []porcupine.Operation
	for _, partial := range info.PartialLinearizationsOperations()[0] {
		if len(partial) > len(longest) {
			longest = partial
		}
	}
	placed := map[*call]bool{}
	for _, op := range longest {
		placed[op.Input.(step).call] = true
	}
	calls = slices.SortedFunc(slices.Values(calls), func(a, b *call) int { return cmp.Compare(a.end, b.end) })
	unexplained := slices.IndexFunc(calls, func(c *call) bool {
		return !placed[c] && !(c.kind == verify && c.answer == none)
	})
	if unexplained < 0 {
		return // the check timed out
	}
	first := slices.MinFunc(calls, func(a, b *call) int { return cmp.Compare(a.start, b.start) }).start
	shown := calls[max(0, unexplained-callsBefore):min(len(calls), unexplained+5)]
	fmt.Fprintf(&r.text, "    from     to ms\n")
	killed := map[*life]bool{}
	for _, c := range shown {
		for _, earlier := range shown {
			if l := earlier.life; l.killed > shown[0].end && l.killed < c.end && !killed[l] {
				killed[l] = true
				fmt.Fprintf(&r.text, "            %9.2f kill -9\n", ms(l.killed-first))
			}
		}
		mark := " "
		if c == calls[unexplained] {
			mark = ">"
		}
		fmt.Fprintf(&r.text, "%s %9.2f %9.2f %v\n", mark, ms(c.start-first), ms(c.end-first), c)
	}
}

func ms(d int64) float64 { return float64(d) / float64(time.Millisecond) }
