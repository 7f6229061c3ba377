package torture_test

import "time"

// faults are counted from a history without the model, in plain terms.
type faults struct {
	lost   int // acknowledged refreshes whose token was refused, with nothing that explains it
	double int // tokens with two successors
	old    int // tokens that passed after their successor was answered, or after the end of their session
}

// seen is what a run has to have met, to be worth its name.
type seen struct {
	replays int // refreshes that were answered again
	thefts  int // old tokens that came late to a session that was alive
}

// count looks at the calls of one session, of which the login is the first.
func count(calls []*call) (f faults, s seen) {
	successors := map[uint32]*call{}
	doubled := map[uint32]bool{}
	for _, c := range calls {
		if isOld(c, calls) {
			f.old++
		}
		if isTheft(c, calls) {
			s.thefts++
		}
		if c.kind != refresh || c.answer != done {
			continue
		}
		if isLost(c, calls) {
			f.lost++
		}
		first := successors[c.with.generation]
		switch {
		case first == nil:
			successors[c.with.generation] = c
		case c.key != "" && c.key == first.key && c.got == first.got:
			s.replays++
		default:
			doubled[c.with.generation] = true
		}
	}
	f.double = len(doubled)
	return f, s
}

// isTheft reports whether a refresh was refused that came surely after the
// race window, to a session whose current token had just been found good.
func isTheft(late *call, calls []*call) bool {
	if late.kind != refresh || late.answer != refused {
		return false
	}
	left, good := false, false
	for _, c := range calls {
		age := time.Duration(late.start - c.end)
		left = left || c.kind == refresh && c.answer == done && c.with == late.with && age > (raceWindow+1)*time.Second
		good = good || c.kind == verify && c.answer == done && c.with.generation > late.with.generation && 0 < age && age < time.Second
	}
	return left && good
}

// isLost reports whether the token of a 200 was refused later, while nobody
// had spent it, or ended the session, or used an old token so late that it may
// have been taken for theft.
func isLost(ack *call, calls []*call) bool {
	for _, c := range calls {
		if c.with == ack.got && c.answer == refused && c.start > ack.end && !explained(c, calls) {
			return true
		}
	}
	return false
}

func explained(refusal *call, calls []*call) bool {
	for _, c := range calls {
		if c.start > refusal.end || c == refusal {
			continue
		}
		spent := c.kind == refresh && c.with.generation == refusal.with.generation && c.answer != refused
		ended := (c.kind == logout || c.kind == reset) && c.answer != refused
		theft := c.kind == refresh && c.with.generation < refusal.with.generation && c.answer != done &&
			c.end/int64(time.Second)+1-c.with.issued > raceWindow
		if spent || ended || theft {
			return true
		}
	}
	return false
}

// isOld reports whether a token passed that the client knew to be dead.
func isOld(passed *call, calls []*call) bool {
	if passed.answer != done || passed.with.generation == 0 {
		return false
	}
	for _, c := range calls {
		if c.answer != done || c.end >= passed.start {
			continue
		}
		ended := (c.kind == logout || c.kind == reset) && c.start > calls[0].end // a reset may have come before the login
		if ended || passed.kind != refresh && c.got.generation > passed.with.generation {
			return true
		}
	}
	return false
}
