package torture_test

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/pawlauth/pawl/api"
)

// member is the model's state of a user.
type member struct {
	suspended bool
	password  string
	view
	keys string // the ids of the user's API keys, each followed by a comma
}

// members is the model's state of a family.
type members struct{ admin, victim member }

// look is a step: an answer that shows the level and the tenant of a user.
const look kind = "look"

// operations converts the calls that concern the members of the family to porcupine's operations. It omits calls that
// have no answer and no effect, and the rejected calls of a token, which belong to the token's session.
func (f *family) operations(calls []*call) (ops []porcupine.Operation) {
	for _, c := range calls {
		if c.user != f.admin && c.user != f.victim {
			continue
		}
		add := func(k kind) {
			input := step{kind: k, call: c}
			ops = append(ops, porcupine.Operation{ClientId: c.worker, Input: input, Call: c.start, Return: c.end})
		}
		if c.seen != nil {
			add(look)
		}
		switch c.kind {
		case login, useKey:
			if c.answer != none {
				add(c.kind)
			}
		case newKey:
			if c.answer == done { // otherwise nothing uses the key
				add(c.kind)
			}
		case setStatus, setLevel, setNetwork, setMailbox, setPassword, removeKey:
			if c.answer != rejected || c.with.generation == 0 {
				add(c.kind)
			}
		}
	}
	return ops
}

// model returns the model of the family.
func (f *family) model() porcupine.Model {
	start := view{network: f.network, mailbox: startMailbox}
	initial := members{
		admin: member{password: password, view: start}, victim: member{password: password, view: start},
	}
	initial.admin.level, initial.victim.level = api.LevelNetworkAdmin, api.LevelMailboxUser
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{initial} },
		Step: func(state, input, _ any) (next []any) {
			for _, m := range f.after(state.(members), input.(step)) {
				next = append(next, m)
			}
			return next
		},
	}
	return m.ToModel()
}

// after returns the possible states after a step with its answer. It returns none if the answer is wrong.
func (f *family) after(m members, s step) []members {
	user := m.victim
	if s.user == f.admin {
		user = m.admin
	}
	permitted := true
	switch s.kind {
	case look:
		permitted = *s.seen == user.view
	case login:
		permitted = (s.answer == done) == (!user.suspended && user.password == s.value)
	case useKey:
		permitted = (s.answer == done) == user.accepts(s.apiKey)
	default:
		return f.afterChange(m, user, s)
	}
	if !permitted {
		return nil
	}
	return []members{m}
}

// afterChange returns the possible states after a change of a user.
func (f *family) afterChange(m members, user member, s step) []members {
	next := m
	if s.user == f.admin {
		next.admin = user.changed(s)
	} else {
		next.victim = user.changed(s)
	}
	signedIn, mayChange := true, true // the caller, and over the user
	switch {
	case s.byAdmin:
		signedIn = !m.admin.suspended && (s.with.generation > 0 || m.admin.accepts(s.apiKey))
		mayChange = m.admin.level == api.LevelNetworkAdmin && m.admin.network == m.victim.network
	case s.kind == removeKey:
		mayChange = user.has(s.apiKey)
	}
	switch {
	case s.answer == done && signedIn && mayChange:
		return []members{next}
	case s.answer == none && signedIn && mayChange:
		return []members{m, next}
	case s.answer == none, s.answer == denied && !mayChange, s.answer == rejected && !signedIn:
		return []members{m}
	}
	return nil
}

// changed returns the user after a change.
func (u member) changed(s step) member {
	switch s.kind {
	case setStatus:
		u.suspended = s.value == string(api.StatusSuspended)
	case setLevel:
		u.level = api.Level(s.value)
	case setNetwork:
		u.network = number(s.value)
	case setMailbox:
		u.mailbox = number(s.value)
	case setPassword:
		u.password = s.value
	case newKey:
		u.keys += fmt.Sprint(s.apiKey, ",")
	case removeKey:
		u.keys = strings.Replace(","+u.keys, fmt.Sprint(",", s.apiKey, ","), ",", 1)[1:]
	}
	return u
}

// has reports whether an API key of the user exists.
func (u member) has(key int64) bool { return strings.Contains(","+u.keys, fmt.Sprint(",", key, ",")) }

// accepts reports whether an API key of the user can be used.
func (u member) accepts(key int64) bool { return !u.suspended && u.has(key) }
