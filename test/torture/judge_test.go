package torture_test

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// origin is when the histories of TestJudge begin, in Unix seconds.
const origin = 1_800_000_000

// token is the token of a generation that began so many seconds after the origin.
func token(generation uint32, second int64) claims {
	return claims{"s", generation, origin + second, origin + second + 3600}
}

// spent makes a call on a token. Times are in milliseconds after the origin.
func spent(kind kind, start, end int64, with claims, answer answer) *call {
	at := func(ms int64) int64 { return origin*int64(time.Second) + ms*int64(time.Millisecond) }
	return &call{kind: kind, with: with, start: at(start), end: at(end), answer: answer}
}

// renewed makes a refresh that was answered with a token.
func renewed(start, end int64, with claims, key string, got claims) *call {
	c := spent(refresh, start, end, with, done)
	c.key, c.got = key, got
	return c
}

// keyed gives a call an Idempotency-Key.
func keyed(key string, c *call) *call {
	c.key = key
	return c
}

// TestJudge holds the model and the counts to histories that are right or wrong.
func TestJudge(t *testing.T) {
	first, second, third := token(1, 0), token(2, 0), token(3, 0)
	turned := renewed(20, 30, first, "", second)
	for _, c := range []struct {
		name  string
		right bool
		faults
		seen
		calls []*call // after a login from 0 to 10
	}{
		{name: "old token refused", right: true, calls: []*call{
			turned, spent(verify, 40, 50, first, refused), spent(verify, 40, 50, second, done)}},
		{name: "lost", faults: faults{lost: 1}, calls: []*call{
			turned, spent(verify, 40, 50, second, refused)}},
		{name: "lost, and the old token back", faults: faults{old: 1}, calls: []*call{
			turned, spent(verify, 40, 50, first, done)}},
		{name: "verified while it turned", right: true, calls: []*call{
			turned, spent(verify, 15, 25, first, done), spent(verify, 22, 40, second, done)}},
		{name: "two successors", faults: faults{double: 1}, calls: []*call{
			renewed(20, 30, first, "a", second), renewed(20, 30, first, "b", second)}},
		{name: "two generations from one", faults: faults{double: 1}, calls: []*call{
			renewed(20, 30, first, "", second), renewed(20, 30, first, "", third)}},
		{name: "answered again", right: true, seen: seen{replays: 1}, calls: []*call{
			renewed(20, 30, first, "a", second), renewed(40, 50, first, "a", second)}},
		{name: "answered again with another token", faults: faults{double: 1}, calls: []*call{
			renewed(20, 30, first, "a", second), renewed(40, 50, first, "a", token(2, 1))}},
		{name: "not answered again", calls: []*call{
			renewed(20, 30, first, "a", second), keyed("a", spent(refresh, 40, 50, first, refused))}},
		{name: "not answered again once spent", right: true, calls: []*call{
			renewed(20, 30, first, "a", second), renewed(40, 50, second, "", third), keyed("a", spent(refresh, 60, 70, first, refused))}},
		{name: "another key", right: true, calls: []*call{
			renewed(20, 30, first, "a", second), keyed("b", spent(refresh, 40, 50, first, refused))}},
		{name: "no answer, and it did not happen", right: true, calls: []*call{
			spent(refresh, 20, 90, first, none), spent(verify, 100, 110, first, done)}},
		{name: "no answer, and it did", right: true, calls: []*call{
			spent(refresh, 20, 90, first, none), spent(verify, 40, 50, first, done), spent(verify, 100, 110, first, refused)}},
		{name: "no answer, and it was undone", calls: []*call{
			spent(refresh, 20, 90, first, none), spent(verify, 40, 50, first, refused), spent(verify, 100, 110, first, done)}},
		{name: "no answer, and it happened after its end", calls: []*call{
			spent(refresh, 20, 90, first, none), spent(verify, 100, 110, first, done), spent(verify, 120, 130, first, refused)}},
		{name: "no answer, told later", right: true, calls: []*call{
			keyed("a", spent(refresh, 20, 90, first, none)), renewed(100, 110, first, "a", second), spent(verify, 120, 130, second, done)}},
		{name: "logged out", right: true, calls: []*call{
			spent(logout, 20, 30, first, done), spent(verify, 40, 50, first, refused), spent(refresh, 40, 50, first, refused)}},
		{name: "logout without effect", faults: faults{old: 1}, calls: []*call{
			spent(logout, 20, 30, first, done), spent(verify, 40, 50, first, done)}},
		{name: "refresh within a logout", right: true, calls: []*call{
			spent(logout, 15, 40, first, done), turned, spent(verify, 50, 60, second, refused)}},
		{name: "back after a reset", faults: faults{old: 1}, calls: []*call{
			spent(reset, 20, 30, claims{}, done), renewed(40, 50, first, "", second)}},
		{name: "reset without an answer", right: true, calls: []*call{
			spent(reset, 20, 90, claims{}, none), spent(verify, 30, 40, first, done), spent(verify, 50, 60, first, refused)}},
		{name: "a race", right: true, calls: []*call{
			turned, spent(refresh, 5000, 5010, first, refused), spent(verify, 5020, 5030, second, done)}},
		{name: "a race taken for theft", faults: faults{lost: 1}, calls: []*call{
			turned, spent(refresh, 5000, 5010, first, refused), spent(verify, 5020, 5030, second, refused)}},
		{name: "theft", right: true, seen: seen{thefts: 1}, calls: []*call{
			turned, spent(verify, 12980, 12990, second, done), spent(refresh, 13000, 13010, first, refused), spent(verify, 13020, 13030, second, refused)}},
		{name: "theft taken for a race", calls: []*call{
			turned, spent(refresh, 13000, 13010, first, refused), spent(verify, 13020, 13030, second, done)}},
		{name: "theft without an answer", right: true, calls: []*call{
			turned, spent(refresh, 13000, 13010, first, none), spent(verify, 13020, 13030, second, done)}},
		{name: "too close to tell: a race", right: true, calls: []*call{
			turned, spent(refresh, 10500, 10510, first, refused), spent(verify, 10520, 10530, second, done)}},
		{name: "too close to tell: theft", right: true, calls: []*call{
			turned, spent(refresh, 10500, 10510, first, refused), spent(verify, 10520, 10530, second, refused)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := spent(login, 0, 10, claims{}, done)
			begin.got = first
			calls := append([]*call{begin}, c.calls...)
			if right := porcupine.CheckOperations(model(), operations(calls)); right != c.right {
				t.Errorf("porcupine says %v", right)
			}
			if f, s := count(calls); f != c.faults || s != c.seen {
				t.Errorf("counted %+v %+v, want %+v %+v", f, s, c.faults, c.seen)
			}
		})
	}
}
