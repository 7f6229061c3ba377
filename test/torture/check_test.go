package torture_test

import (
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// origin is the beginning of the histories in TestCheckHistories, in Unix seconds.
const origin = 1_800_000_000

// token returns a token of a generation that was issued at this second after the origin.
func token(generation uint32, second int64) claims {
	return claims{session: "s", generation: generation, issued: origin + second, expires: origin + second + 3600}
}

// newCall returns a call with a token. Times are in milliseconds after the origin.
func newCall(kind kind, start, end int64, with claims, answer answer) *call {
	at := func(ms int64) int64 { return origin*int64(time.Second) + ms*int64(time.Millisecond) }
	return &call{kind: kind, with: with, start: at(start), end: at(end), answer: answer}
}

// refreshed returns a successful refresh.
func refreshed(start, end int64, with claims, key string, got claims) *call {
	c := newCall(refresh, start, end, with, done)
	c.key, c.got = key, got
	return c
}

// keyed sets the Idempotency-Key of a call and returns the call.
func keyed(key string, c *call) *call {
	c.key = key
	return c
}

// historyCase is a history with the expected results of the checks.
type historyCase struct {
	name  string
	legal bool // whether the model explains the history
	faults
	seen
	calls []*call // after a login from 0 to 10 ms
}

var (
	first  = token(1, 0)
	second = token(2, 0)
	third  = token(3, 0)

	firstRefresh = refreshed(20, 30, first, "", second)
)

var rotationCases = []historyCase{
	{name: "superseded token rejected", legal: true, calls: []*call{
		firstRefresh, newCall(verify, 40, 50, first, rejected), newCall(verify, 40, 50, second, done)}},
	{name: "lost", faults: faults{lost: 1}, calls: []*call{
		firstRefresh, newCall(verify, 40, 50, second, rejected)}},
	{name: "superseded token accepted", faults: faults{superseded: 1}, calls: []*call{
		firstRefresh, newCall(verify, 40, 50, first, done)}},
	{name: "verified during the refresh", legal: true, calls: []*call{
		firstRefresh, newCall(verify, 15, 25, first, done), newCall(verify, 22, 40, second, done)}},
	{name: "two successors", faults: faults{double: 1}, calls: []*call{
		refreshed(20, 30, first, "a", second), refreshed(20, 30, first, "b", second)}},
	{name: "two generations from one", faults: faults{double: 1}, calls: []*call{
		refreshed(20, 30, first, "", second), refreshed(20, 30, first, "", third)}},
	{name: "no answer, no effect", legal: true, calls: []*call{
		newCall(refresh, 20, 90, first, none), newCall(verify, 100, 110, first, done)}},
	{name: "no answer, effect", legal: true, calls: []*call{
		newCall(refresh, 20, 90, first, none),
		newCall(verify, 40, 50, first, done), newCall(verify, 100, 110, first, rejected)}},
	{name: "no answer, effect undone", calls: []*call{
		newCall(refresh, 20, 90, first, none),
		newCall(verify, 40, 50, first, rejected), newCall(verify, 100, 110, first, done)}},
	{name: "no answer, effect after the end", calls: []*call{
		newCall(refresh, 20, 90, first, none),
		newCall(verify, 100, 110, first, done), newCall(verify, 120, 130, first, rejected)}},
}

var replayCases = []historyCase{
	{name: "replayed", legal: true, seen: seen{replays: 1}, calls: []*call{
		refreshed(20, 30, first, "a", second), refreshed(40, 50, first, "a", second)}},
	{name: "replayed with another token", faults: faults{double: 1}, calls: []*call{
		refreshed(20, 30, first, "a", second), refreshed(40, 50, first, "a", token(2, 1))}},
	{name: "not replayed", calls: []*call{
		refreshed(20, 30, first, "a", second), keyed("a", newCall(refresh, 40, 50, first, rejected))}},
	{name: "not replayed after the next refresh", legal: true, calls: []*call{
		refreshed(20, 30, first, "a", second), refreshed(40, 50, second, "", third),
		keyed("a", newCall(refresh, 60, 70, first, rejected))}},
	{name: "another key", legal: true, calls: []*call{
		refreshed(20, 30, first, "a", second), keyed("b", newCall(refresh, 40, 50, first, rejected))}},
	{name: "no answer, replayed later", legal: true, calls: []*call{
		keyed("a", newCall(refresh, 20, 90, first, none)),
		refreshed(100, 110, first, "a", second), newCall(verify, 120, 130, second, done)}},
}

var endCases = []historyCase{
	{name: "logged out", legal: true, calls: []*call{
		newCall(logout, 20, 30, first, done),
		newCall(verify, 40, 50, first, rejected), newCall(refresh, 40, 50, first, rejected)}},
	{name: "logout without effect", faults: faults{superseded: 1}, calls: []*call{
		newCall(logout, 20, 30, first, done), newCall(verify, 40, 50, first, done)}},
	{name: "refresh during a logout", legal: true, calls: []*call{
		newCall(logout, 15, 40, first, done), firstRefresh, newCall(verify, 50, 60, second, rejected)}},
	{name: "refreshed after a reset", faults: faults{superseded: 1}, calls: []*call{
		newCall(reset, 20, 30, claims{}, done), refreshed(40, 50, first, "", second)}},
	{name: "reset without an answer", legal: true, calls: []*call{
		newCall(reset, 20, 90, claims{}, none),
		newCall(verify, 30, 40, first, done), newCall(verify, 50, 60, first, rejected)}},
}

var reuseCases = []historyCase{
	{name: "race", legal: true, calls: []*call{
		firstRefresh, newCall(refresh, 5000, 5010, first, rejected), newCall(verify, 5020, 5030, second, done)}},
	{name: "race taken for theft", faults: faults{lost: 1}, calls: []*call{
		firstRefresh, newCall(refresh, 5000, 5010, first, rejected), newCall(verify, 5020, 5030, second, rejected)}},
	{name: "theft", legal: true, seen: seen{thefts: 1}, calls: []*call{
		firstRefresh, newCall(verify, 12980, 12990, second, done),
		newCall(refresh, 13000, 13010, first, rejected), newCall(verify, 13020, 13030, second, rejected)}},
	{name: "theft taken for a race", calls: []*call{
		firstRefresh, newCall(refresh, 13000, 13010, first, rejected), newCall(verify, 13020, 13030, second, done)}},
	{name: "theft in the second of a replay", legal: true, seen: seen{replays: 1, thefts: 1}, calls: []*call{
		firstRefresh, refreshed(14_100, 14_110, second, "a", token(3, 14)),
		refreshed(14_120, 14_130, second, "a", token(3, 14)),
		newCall(refresh, 14_140, 14_150, first, rejected), newCall(verify, 14_160, 14_170, token(3, 14), rejected)}},
	{name: "theft without an answer", legal: true, calls: []*call{
		firstRefresh, newCall(refresh, 13000, 13010, first, none), newCall(verify, 13020, 13030, second, done)}},
	{name: "at the window's end, a race", legal: true, calls: []*call{
		firstRefresh, newCall(refresh, 10500, 10510, first, rejected), newCall(verify, 10520, 10530, second, done)}},
	{name: "at the window's end, theft", legal: true, calls: []*call{
		firstRefresh,
		newCall(refresh, 10500, 10510, first, rejected), newCall(verify, 10520, 10530, second, rejected)}},
}

// shortLived returns a token with the life that the model assumes.
func shortLived(generation uint32, second int64) claims {
	c := token(generation, second)
	c.expires = c.issued + tokenLife
	return c
}

var (
	shortFirst  = shortLived(1, 0)
	shortSecond = shortLived(2, 0)
)

var expiryCases = []historyCase{
	{name: "expired", legal: true, calls: []*call{
		newCall(verify, 1000, 1010, shortFirst, done), newCall(verify, 5000, 5010, shortFirst, rejected)}},
	{name: "expired too early", calls: []*call{newCall(verify, 1000, 1010, shortFirst, rejected)}},
	{name: "expired too late", calls: []*call{newCall(verify, 5000, 5010, shortFirst, done)}},
	{name: "refreshed after the expiry", legal: true, seen: seen{lateTokens: 1}, calls: []*call{
		refreshed(5000, 5010, shortFirst, "", shortLived(2, 5))}},
	{name: "refresh after the expiry refused", calls: []*call{newCall(refresh, 5000, 5010, shortFirst, rejected)}},
	{name: "refreshed after the idle time", seen: seen{lateTokens: 1}, calls: []*call{
		refreshed(28_000, 28_010, shortFirst, "", shortLived(2, 28))}},
	{name: "refresh after the idle time refused", legal: true, calls: []*call{
		newCall(refresh, 28_000, 28_010, shortFirst, rejected)}},
	{name: "logged out after the expiry", legal: true, calls: []*call{
		newCall(verify, 5000, 5010, shortFirst, rejected), newCall(logout, 5020, 5030, shortFirst, done),
		newCall(refresh, 5040, 5050, shortFirst, rejected)}},
	{name: "logout after the expiry refused", calls: []*call{newCall(logout, 5000, 5010, shortFirst, rejected)}},
	{name: "logged out after the idle time", calls: []*call{newCall(logout, 28_000, 28_010, shortFirst, done)}},
	{name: "logout after the idle time refused", legal: true, calls: []*call{
		newCall(logout, 28_000, 28_010, shortFirst, rejected)}},
	{name: "replayed after the expiry", legal: true, seen: seen{replays: 1, lateReplays: 1}, calls: []*call{
		refreshed(20, 30, shortFirst, "a", shortSecond), refreshed(15_000, 15_010, shortFirst, "a", shortSecond)}},
	{name: "replay after the expiry refused", calls: []*call{
		refreshed(20, 30, shortFirst, "a", shortSecond),
		keyed("a", newCall(refresh, 15_000, 15_010, shortFirst, rejected))}},
	{name: "replay after the expiry taken for theft", calls: []*call{
		refreshed(20, 30, shortFirst, "a", shortSecond),
		keyed("a", newCall(refresh, 15_000, 15_010, shortFirst, none)),
		newCall(refresh, 15_020, 15_030, shortSecond, rejected)}},
	{name: "replay after the successor's idle time refused", legal: true, calls: []*call{
		refreshed(20, 30, shortFirst, "a", shortSecond),
		keyed("a", newCall(refresh, 28_000, 28_010, shortFirst, rejected))}},
}

// TestCheckHistories applies the model and the counts to correct and to faulty histories.
func TestCheckHistories(t *testing.T) {
	for _, c := range slices.Concat(rotationCases, replayCases, endCases, reuseCases, expiryCases) {
		t.Run(c.name, func(t *testing.T) {
			begin := newCall(login, 0, 10, claims{}, done)
			begin.got = first
			calls := append([]*call{begin}, c.calls...)
			if legal := porcupine.CheckOperations(model(), operations(calls)); legal != c.legal {
				t.Errorf("porcupine returns %v, want %v", legal, c.legal)
			}
			if f, s := count(calls); f != c.faults || s != c.seen {
				t.Errorf("count = %+v, %+v; want %+v, %+v", f, s, c.faults, c.seen)
			}
		})
	}
}
