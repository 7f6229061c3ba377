package torture_test

import (
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/pawlauth/pawl/api"
)

// The members of the family in TestCheckFamilies.
const (
	admin  = 1
	victim = 2
)

// byRoot returns a change of a member by the Root, in milliseconds after the origin.
func byRoot(start, end int64, user int64, k kind, value string) *call {
	c := newCall(k, start, end, claims{}, done)
	c.user, c.value = user, value
	return c
}

// byAdmin returns a change of the victim by the admin, with the admin's token.
func byAdmin(start, end int64, k kind, value string, got answer) *call {
	c := newCall(k, start, end, first, got)
	c.user, c.byAdmin = victim, true
	c.value = value
	return c
}

// withKey replaces the token of a call by an API key of the admin.
func withKey(key int64, c *call) *call {
	c.with, c.apiKey = claims{}, key
	return c
}

// seenAs returns a call whose answer shows the victim in a mailbox.
func seenAs(start, end, mailbox int64) *call {
	c := newCall(verify, start, end, first, done)
	c.user, c.seen = victim, &view{level: api.LevelMailboxUser, network: 10, mailbox: mailbox}
	return c
}

func loggedIn(start, end int64, password string, got answer) *call {
	c := newCall(login, start, end, claims{}, got)
	c.user, c.value = victim, password
	return c
}

// used returns a use of an API key of the admin.
func used(start, end, key int64, got answer) *call {
	c := withKey(key, newCall(useKey, start, end, claims{}, got))
	c.user = admin
	return c
}

var (
	made           = withKey(7, byRoot(0, 5, admin, newKey, ""))
	removed        = withKey(7, byRoot(20, 30, admin, removeKey, ""))
	demoted        = byRoot(20, 30, admin, setLevel, string(api.LevelGeneral))
	suspended      = byRoot(20, 30, victim, setStatus, string(api.StatusSuspended))
	adminSuspended = byRoot(20, 30, admin, setStatus, string(api.StatusSuspended))

	correctFamilies = map[string][]*call{
		"changed":                     {byAdmin(20, 30, setMailbox, "5", done), seenAs(40, 50, 5)},
		"no answer, effect":           {byAdmin(20, 90, setMailbox, "5", none), seenAs(40, 50, 1), seenAs(60, 70, 5)},
		"no answer, no effect":        {byAdmin(20, 90, setMailbox, "5", none), seenAs(100, 110, 1)},
		"refused after the demotion":  {demoted, byAdmin(40, 50, setMailbox, "5", denied)},
		"changed during the demotion": {demoted, byAdmin(25, 50, setMailbox, "5", done), seenAs(60, 70, 5)},
		"refused after a move of the victim": {
			byRoot(20, 30, victim, setNetwork, "11"), byAdmin(40, 50, setMailbox, "5", denied),
		},
		"key used": {made, used(40, 50, 7, done), withKey(7, byAdmin(40, 50, setMailbox, "5", done))},
		"removed key refused": {
			made, removed, used(40, 50, 7, rejected), withKey(7, byAdmin(40, 50, setMailbox, "5", rejected)),
		},
		"former password refused": {
			byAdmin(20, 30, setPassword, "p", done), loggedIn(40, 50, password, rejected), loggedIn(40, 50, "p", done),
		},
		"suspended user refused": {suspended, loggedIn(40, 50, password, rejected)},
	}
	faultyFamilies = map[string][]*call{
		"changed without effect": {byAdmin(20, 30, setMailbox, "5", done), seenAs(40, 50, 1)},
		"no answer, effect undone": {
			byAdmin(20, 90, setMailbox, "5", none), seenAs(40, 50, 5), seenAs(60, 70, 1),
		},
		"refused without a reason":   {byAdmin(20, 30, setMailbox, "5", denied)},
		"changed after the demotion": {demoted, byAdmin(40, 50, setMailbox, "5", done)},
		"changed during the demotion, but later": {
			demoted, byAdmin(25, 60, setMailbox, "5", done), seenAs(40, 50, 1), seenAs(70, 80, 5),
		},
		"no answer, effect after the demotion": {
			demoted, byAdmin(25, 90, setMailbox, "5", none), seenAs(40, 50, 1), seenAs(70, 80, 5),
		},
		"changed after a move of the admin": {
			byRoot(20, 30, admin, setNetwork, "11"), byAdmin(40, 50, setPassword, "p", done),
		},
		"key refused":                {made, used(40, 50, 7, rejected)},
		"removed key used":           {made, removed, used(40, 50, 7, done)},
		"changed with a removed key": {made, removed, withKey(7, byAdmin(40, 50, setMailbox, "5", done))},
		"key of a suspended user":    {made, adminSuspended, used(40, 50, 7, done)},
		"changed by a suspended admin": {
			made, adminSuspended, withKey(7, byAdmin(40, 50, setMailbox, "5", done)),
		},
		"former password accepted": {byAdmin(20, 30, setPassword, "p", done), loggedIn(40, 50, password, done)},
		"password refused":         {loggedIn(40, 50, password, rejected)},
		"suspended user signs in":  {suspended, loggedIn(40, 50, password, done)},
	}
)

// TestCheckFamilies applies the model of a family to correct and to faulty histories.
func TestCheckFamilies(t *testing.T) {
	f := &family{admin: admin, victim: victim, network: 10}
	check := func(calls []*call) bool { return porcupine.CheckOperations(f.model(), f.operations(calls)) }
	for name, calls := range correctFamilies {
		if !check(calls) {
			t.Errorf("the model does not explain: %s", name)
		}
	}
	for name, calls := range faultyFamilies {
		if check(calls) {
			t.Errorf("the model explains: %s", name)
		}
	}
}

// TestSessionsOfAdmin checks that a call of an admin is a check of the admin's token and, if it suspends the victim,
// the end of the victim's sessions.
func TestSessionsOfAdmin(t *testing.T) {
	own := newCall(login, 0, 10, claims{}, done)
	own.user, own.got = admin, first
	other := newCall(login, 0, 10, claims{}, done)
	other.user, other.got = victim, claims{session: "v", generation: 1, issued: origin, expires: origin + 3600}
	suspend := byAdmin(20, 30, setStatus, string(api.StatusSuspended), done)
	check := func(last *call) (legal bool) {
		h := &history{calls: []*call{own, other, suspend, last}}
		legal = true
		for _, calls := range h.sessions() {
			legal = legal && porcupine.CheckOperations(model(), operations(calls))
		}
		return legal
	}
	for name, last := range map[string]*call{
		"suspended":                   newCall(verify, 40, 50, other.got, rejected),
		"token of the admin accepted": byAdmin(40, 50, setMailbox, "5", denied),
	} {
		if !check(last) {
			t.Errorf("the model does not explain: %s", name)
		}
	}
	for name, last := range map[string]*call{
		"suspended without effect":        newCall(verify, 40, 50, other.got, done),
		"token of the admin refused":      newCall(verify, 40, 50, first, rejected),
		"token of the admin not accepted": byAdmin(40, 50, setMailbox, "5", rejected),
	} {
		if check(last) {
			t.Errorf("the model explains: %s", name)
		}
	}
}
