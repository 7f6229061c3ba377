package torture_test

import (
	"time"

	"github.com/anishathalye/porcupine"
)

// The contract's windows (section 4), in seconds.
const (
	retryWindow = 120
	raceWindow  = 10
)

// row is what the model knows of a session; zero before its login and after its end.
type row struct {
	generation      uint32
	entered, before span   // when this generation began, and the one before it
	expires         int64  // of the current token; 0 while nobody was told
	key             string // Idempotency-Key of the last rotation
}

// span is from when to when something may have been, in Unix seconds.
type span struct{ from, to int64 }

func at(second int64) span { return span{second, second} }

// step is one step of a session: a call, or half of one.
type step struct {
	kind kind // login, refresh, verify, or reset, which stands for any end
	*call
}

// during is when the server may have looked at its clock, with a second for a
// clock that is being set.
func (s step) during() span {
	return span{s.start/int64(time.Second) - 1, s.end/int64(time.Second) + 1}
}

// operations turns the calls of one session into porcupine's operations. What
// has no answer and changes nothing is left out. A logout looks at its token
// and then ends the session, and a refresh may come between: it is two steps,
// whose order follows, as a token is never good after the end.
func operations(calls []*call) (ops []porcupine.Operation) {
	for _, c := range calls {
		add := func(k kind) {
			ops = append(ops, porcupine.Operation{ClientId: c.worker, Input: step{k, c}, Call: c.start, Return: c.end})
		}
		switch {
		case c.kind == logout:
			if c.answer != none {
				add(verify)
			}
			if c.answer != refused {
				add(reset)
			}
		case c.kind != verify || c.answer != none:
			add(c.kind)
		}
	}
	return ops
}

// model is one session.
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

// after gives the rows that may be there after a step with that answer; none
// says that the answer is wrong.
func (r row) after(s step) []row {
	switch s.kind {
	case login:
		return only(r == row{} && s.got.generation == 1, row{generation: 1, entered: at(s.got.issued), expires: s.got.expires})
	case verify:
		return only((s.answer == done) == (r.generation == s.with.generation), r)
	case refresh:
		return r.refreshed(s)
	}
	if s.answer == none {
		return []row{r, {}}
	}
	return only(s.answer == done, row{})
}

func only(possible bool, r row) []row {
	if possible {
		return []row{r}
	}
	return nil
}

func (r row) refreshed(s step) []row {
	switch {
	case r == row{}:
		return only(s.answer != done, r)
	case s.with.generation == r.generation:
		return r.rotated(s)
	case s.with.generation < r.generation:
		return r.old(s)
	}
	return nil // nobody was given that token yet
}

// rotated is the answer to the current token.
func (r row) rotated(s step) []row {
	next := row{generation: r.generation + 1, entered: s.during(), before: r.entered, key: s.key}
	if s.answer == none {
		return []row{r, next}
	}
	next.entered, next.expires = at(s.got.issued), s.got.expires
	return only(s.answer == done && s.got.generation == next.generation, next)
}

// old is the answer to an old token: the same successor again, a race, or theft.
// Where the clock alone decides, and the history does not tell what it said,
// both are allowed.
func (r row) old(s step) (next []row) {
	left, now := at(s.with.issued), s.during()
	switch r.generation - s.with.generation {
	case 1:
		left = r.entered
	case 2:
		left = r.before
	}
	age := span{now.from - left.to, now.to - left.from}
	if s.with.generation+1 == r.generation && s.key != "" && s.key == r.key && age.from < retryWindow {
		next = r.again(s)
		if age.to < retryWindow {
			return next
		}
	}
	if s.answer == done {
		return next
	}
	if age.from <= raceWindow || s.answer == none {
		next = append(next, r)
	}
	if age.to > raceWindow {
		next = append(next, row{})
	}
	return next
}

// again is the answer to a refresh whose answer was lost.
func (r row) again(s step) []row {
	if s.answer == none {
		return []row{r}
	}
	same := s.got.generation == r.generation && (r.expires == 0 || r.expires == s.got.expires) &&
		r.entered.from <= s.got.issued && s.got.issued <= r.entered.to
	r.entered, r.expires = at(s.got.issued), s.got.expires
	return only(s.answer == done && same, r)
}
