package torture_test

import "time"

// faults counts faults in a history without the model.
type faults struct {
	lost       int // acknowledged refreshes whose token was rejected without an explanation
	double     int // tokens with two successors
	superseded int // tokens accepted after the response with their successor, or after the end of their session
}

// seen counts the situations that a run must contain to be significant.
type seen struct {
	replays     int // repeated refreshes that returned the same successor
	lateReplays int // the replays of a token that had expired
	thefts      int // refreshes of an active session with a superseded token after the race window
	lateTokens  int // successful refreshes of the current token after it expired
}

// count counts the faults and situations in the calls of one session. The first call must be the login.
func count(calls []*call) (f faults, s seen) {
	successors := map[uint32]*call{}
	doubled := map[uint32]bool{}
	for _, c := range calls {
		if isSuperseded(c, calls) {
			f.superseded++
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
			if c.afterExpiry() {
				s.lateTokens++
			}
		case c.key != "" && c.key == first.key && c.got == first.got:
			s.replays++
			if c.afterExpiry() {
				s.lateReplays++
			}
		default:
			doubled[c.with.generation] = true
		}
	}
	f.double = len(doubled)
	return f, s
}

// afterExpiry reports whether the call began after its token expired, by any clock.
func (c *call) afterExpiry() bool { return c.start/int64(time.Second)-1 > c.with.expires }

// isTheft reports whether the server rejected a refresh that came after the race window by any clock, although the
// server had just accepted the session's current token.
func isTheft(late *call, calls []*call) bool {
	if late.kind != refresh || late.answer != rejected {
		return false
	}
	var afterWindow, active bool
	for _, c := range calls {
		age := time.Duration(late.start - c.end)
		if c.kind == refresh && c.answer == done && c.with == late.with && age > (raceWindow+1)*time.Second {
			afterWindow = true
		}
		later := c.with.generation > late.with.generation
		if (c.kind == verify || c.kind == refresh) && c.answer == done && later && 0 < age && age < 5*time.Second {
			active = true
		}
	}
	return afterWindow && active
}

// isLost reports whether the token of a 200 was rejected later without an explanation.
func isLost(ack *call, calls []*call) bool {
	for _, c := range calls {
		if c.with == ack.got && c.answer == rejected && c.start > ack.end && !explained(c, calls) {
			return true
		}
	}
	return false
}

// explained reports whether time or an earlier call explains a rejection. The call may have refreshed the token, ended
// the session, or used a superseded token late enough to be taken for a thief.
func explained(rejection *call, calls []*call) bool {
	end := rejection.with.expires
	if rejection.kind == refresh {
		end = rejection.with.issued + idleLife
	}
	if rejection.end/int64(time.Second)+1 >= end {
		return true
	}
	for _, c := range calls {
		if c.start > rejection.end || c == rejection {
			continue
		}
		refreshed := c.kind == refresh && c.with.generation == rejection.with.generation && c.answer != rejected
		ended := (c.kind == logout || c.kind == reset) && c.answer != rejected
		theft := c.kind == refresh && c.with.generation < rejection.with.generation && c.answer != done &&
			c.end/int64(time.Second)+1-c.with.issued > raceWindow
		if refreshed || ended || theft {
			return true
		}
	}
	return false
}

// isSuperseded reports whether the server accepted a token although an earlier response had superseded the token or
// ended the session.
func isSuperseded(accepted *call, calls []*call) bool {
	if accepted.answer != done || accepted.with.generation == 0 {
		return false
	}
	for _, c := range calls {
		if c.answer != done || c.end >= accepted.start {
			continue
		}
		afterLogin := c.start > calls[0].end // an earlier reset does not concern the session
		ended := (c.kind == logout || c.kind == reset) && afterLogin
		if ended || accepted.kind != refresh && c.got.generation > accepted.with.generation {
			return true
		}
	}
	return false
}
