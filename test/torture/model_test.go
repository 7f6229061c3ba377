package torture_test

import (
	"time"

	"github.com/anishathalye/porcupine"
)

// The contract's windows (section 5) and the settings of the servers, in seconds. A token expires within a history, and
// can be refreshed after that.
const (
	retryWindow = 120
	raceWindow  = 10
	tokenLife   = 3
	idleLife    = 25
)

// row is the model's state of a session. It is zero before the login and after the end.
type row struct {
	generation      uint32
	entered, before span   // the beginning of this generation, and what authority.Session.Previous has
	key             string // the Idempotency-Key of the last rotation
}

// span is the range of times at which something may have happened, in Unix seconds.
type span struct{ from, to int64 }

func at(second int64) span { return span{second, second} }

// isBefore returns whether this point in time may come before another one, and whether it may not.
func (s span) isBefore(end span) (may, mayNot bool) { return s.from < end.to, s.to >= end.from }

// idle returns when the current token can no longer be refreshed.
func (r row) idle() span { return span{r.entered.from + idleLife, r.entered.to + idleLife} }

// step is one step of the model: a call, or half of a logout.
type step struct {
	kind kind // login, refresh, verify, logout, which stands for the check of its token, or reset: every end
	*call
}

// during returns the range of times that the server may have read from its clock. It allows a second for adjustments of
// the clock.
func (s step) during() span {
	return span{s.start/int64(time.Second) - 1, s.end/int64(time.Second) + 1}
}

// operations converts the calls of one session to porcupine's operations. It omits calls that have no answer and no
// effect.
//
// A logout checks its token and then ends the session, and a refresh may come between. Therefore a logout is two steps.
// Their order needs no constraint, because no token is valid after the end.
func operations(calls []*call) (ops []porcupine.Operation) {
	for _, c := range calls {
		add := func(k kind) {
			input := step{kind: k, call: c}
			ops = append(ops, porcupine.Operation{ClientId: c.worker, Input: input, Call: c.start, Return: c.end})
		}
		switch {
		case c.kind == logout:
			if c.answer != none {
				add(logout)
			}
			if c.answer != rejected {
				add(reset)
			}
		case c.kind != verify || c.answer != none:
			add(c.kind)
		}
	}
	return ops
}

// model returns the model of one session.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{row{}} },
		Step: func(state, input, _ any) (next []any) {
			for _, r := range state.(row).after(input.(step)) {
				next = append(next, r)
			}
			return next
		},
	}
	return m.ToModel()
}

// after returns the possible states after a step with its answer. It returns none if the answer is wrong.
func (r row) after(s step) []row {
	switch s.kind {
	case login:
		return only(r == row{} && s.got.generation == 1, row{generation: 1, entered: at(s.got.issued)})
	case verify:
		valid, expired := s.during().isBefore(at(s.with.expires))
		current := r.generation == s.with.generation
		return only(s.answer == done && current && valid || s.answer != done && (!current || expired), r)
	case refresh:
		return r.refreshed(s)
	case logout: // takes an expired token too, as long as a refresh does
		inTime, late := s.during().isBefore(r.idle())
		current := r.generation == s.with.generation
		return only(s.answer == done && current && inTime || s.answer != done && (!current || late), r)
	}
	if s.answer == none {
		return []row{r, {}}
	}
	return only(s.answer == done, row{})
}

// only returns r if it is possible, otherwise none.
func only(possible bool, r row) []row {
	if possible {
		return []row{r}
	}
	return nil
}

// refreshed returns the possible states after a refresh.
func (r row) refreshed(s step) (next []row) {
	switch {
	case r == row{}:
		return only(s.answer != done, r)
	case s.with.generation < r.generation:
		return r.reused(s)
	case s.with.generation > r.generation:
		return nil // the server has not issued this token yet
	}
	inTime, late := s.during().isBefore(r.idle())
	if inTime {
		next = r.rotated(s)
	}
	if late && s.answer != done {
		next = append(next, r)
	}
	return next
}

// rotated returns the possible states after a refresh with the current token.
func (r row) rotated(s step) []row {
	next := row{generation: r.generation + 1, entered: s.during(), before: r.raceBegan(), key: s.key}
	if s.answer == none {
		return []row{r, next}
	}
	next.entered = at(s.got.issued)
	return only(s.answer == done && s.got.generation == next.generation, next)
}

// raceBegan returns when the predecessor's race window began: at the rotation, or at the last replay.
func (r row) raceBegan() span {
	return span{max(r.entered.from, r.before.from), max(r.entered.to, r.before.to)}
}

// reused returns the possible states after a refresh with a superseded token: a replay, a race, or theft. If the
// history leaves open what the server's clock showed, reused allows both sides of a window.
func (r row) reused(s step) (next []row) {
	raceBegan, now := at(s.with.issued), s.during()
	switch r.generation - s.with.generation {
	case 1:
		raceBegan = r.raceBegan()
	case 2:
		raceBegan = span{min(r.before.from, r.entered.from), min(r.before.to, r.entered.to)}
	}
	age := span{now.from - r.entered.to, now.to - r.entered.from}
	if s.with.generation+1 == r.generation && s.key != "" && s.key == r.key && age.from < retryWindow {
		inTime, late := now.isBefore(r.idle())
		if inTime {
			next = r.replayed(s)
		}
		if late && s.answer != done {
			next = append(next, r) // a retry is never theft
		}
		if age.to < retryWindow {
			return next
		}
	}
	if s.answer == done {
		return next
	}
	age = span{now.from - raceBegan.to, now.to - raceBegan.from}
	if age.from <= raceWindow || s.answer == none {
		next = append(next, r)
	}
	if age.to > raceWindow {
		next = append(next, row{})
	}
	return next
}

// replayed returns the possible states after a repeated refresh, which must return the same successor.
func (r row) replayed(s step) []row {
	recorded, now := r, s.during()
	recorded.before = span{max(r.before.from, now.from), max(r.before.to, now.to)}
	if now.from <= r.entered.to { // a replay in the second of the rotation changes nothing
		recorded.before.from = r.before.from
	}
	if s.answer == none {
		return []row{r, recorded}
	}
	same := s.got.generation == r.generation && r.entered.from <= s.got.issued && s.got.issued <= r.entered.to
	recorded.entered = at(s.got.issued)
	return only(s.answer == done && same, recorded)
}
