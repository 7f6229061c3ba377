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

// report is what a run was, and what is wrong with it.
type report struct {
	calls, unanswered, kills, outages, sessions int
	seen
	faults
	odd     int // answers that the contract does not have
	illegal int // sessions whose history no order of steps explains
	text    strings.Builder
}

func (r *report) String() string {
	return fmt.Sprintf("%d kills, %d outages, %d calls (%d without an answer), %d sessions; %d answers given again, %d stolen tokens tried.\n"+
		"Acknowledged refreshes lost: %d. Double successors: %d. Old tokens accepted: %d. Other answers: %d. Sessions not linearizable: %d.\n%s",
		r.kills, r.outages, r.calls, r.unanswered, r.sessions, r.replays, r.thefts, r.lost, r.double, r.old, r.odd, r.illegal, r.text.String())
}

func (r *report) good() bool { return r.faults == faults{} && r.odd == 0 && r.illegal == 0 }

// add adds the figures and the text of another report.
func (r *report) add(o *report) {
	r.calls, r.unanswered, r.sessions = r.calls+o.calls, r.unanswered+o.unanswered, r.sessions+o.sessions
	r.kills, r.outages = r.kills+o.kills, r.outages+o.outages
	r.lost, r.double, r.old = r.lost+o.lost, r.double+o.double, r.old+o.old
	r.replays, r.thefts = r.replays+o.replays, r.thefts+o.thefts
	r.odd, r.illegal = r.odd+o.odd, r.illegal+o.illegal
	r.text.WriteString(o.text.String())
}

// checkWithin is the time for one session; a tenth of a second is much.
const checkWithin = time.Minute

// printed is how many sessions, and how many other answers, are printed.
const printed = 2

// judge counts, and asks porcupine about each session.
func (h *history) judge() *report {
	r := &report{calls: len(h.calls)}
	for _, c := range h.calls {
		if c.answer == none {
			r.unanswered++
		}
		if c.odd != "" {
			if r.odd++; r.odd <= printed {
				fmt.Fprintln(&r.text, c)
			}
		}
	}
	sessions := h.sessions()
	r.sessions = len(sessions)
	for _, id := range slices.Sorted(maps.Keys(sessions)) {
		r.judge(id, sessions[id])
	}
	return r
}

func (r *report) judge(id string, calls []*call) {
	found, saw := count(calls)
	r.replays, r.thefts = r.replays+saw.replays, r.thefts+saw.thefts
	r.lost, r.double, r.old = r.lost+found.lost, r.double+found.double, r.old+found.old
	if result := porcupine.CheckOperationsTimeout(model(), operations(calls), checkWithin); result != porcupine.Ok {
		r.illegal++
		if r.illegal <= printed {
			fmt.Fprintf(&r.text, "Session %s: %s, %+v\n", id, result, found)
			r.explain(calls)
		}
	}
}

// ahead is how many calls before the first that does not fit are printed.
const ahead = 30

// explain prints the calls around the first that fits nowhere: the one that
// returned first among those that the longest order of steps leaves out.
func (r *report) explain(calls []*call) {
	_, info := porcupine.CheckOperationsVerbose(model(), operations(calls), checkWithin)
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
	stuck := slices.IndexFunc(calls, func(c *call) bool {
		return !placed[c] && !(c.kind == verify && c.answer == none)
	})
	if stuck < 0 {
		return // not decided in time
	}
	first := slices.MinFunc(calls, func(a, b *call) int { return cmp.Compare(a.start, b.start) }).start
	shown := calls[max(0, stuck-ahead):min(len(calls), stuck+5)]
	fmt.Fprintf(&r.text, "    from     to ms\n")
	killed := map[*life]bool{}
	for _, c := range shown {
		for _, earlier := range shown {
			if l := earlier.life; l.died > shown[0].end && l.died < c.end && !killed[l] {
				killed[l] = true
				fmt.Fprintf(&r.text, "            %9.2f kill -9\n", ms(l.died-first))
			}
		}
		mark := " "
		if c == calls[stuck] {
			mark = ">"
		}
		fmt.Fprintf(&r.text, "%s %9.2f %9.2f %v\n", mark, ms(c.start-first), ms(c.end-first), c)
	}
}

func ms(d int64) float64 { return float64(d) / float64(time.Millisecond) }
