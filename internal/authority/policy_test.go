package authority

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPolicyWithAnyClock checks the rules of the policy that no clock may break. The times of a session may be in the
// past or in the future, in any order, because clocks jump.
func TestPolicyWithAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Int64Range(0, 1000)
		window := rapid.Map(rapid.IntRange(0, 60), func(n int) time.Duration { return time.Duration(n) * time.Second })
		keys := rapid.SampledFrom([]IdempotencyKeyHash{{}, {1}, {2}})
		s := Session{
			Generation: rapid.Uint32Range(1, 6).Draw(t, "current"),
			Refreshed:  second.Draw(t, "refreshed"), Previous: second.Draw(t, "previous"),
			Idle: second.Draw(t, "idle"), IdempotencyKey: keys.Draw(t, "key"),
		}
		generation, now := rapid.Uint32Range(1, 6).Draw(t, "generation"), second.Draw(t, "now")
		p := Policy{BearerGrace: window.Draw(t, "grace"), ReplayWithoutKey: window.Draw(t, "without key")}
		predecessor := generation+1 == s.Generation
		since := max(now-s.Refreshed, s.Refreshed-now)

		want := generation == s.Generation || predecessor && since < seconds(p.BearerGrace)
		if got := acceptsBearer(s, generation, now, p); got != want {
			t.Errorf("accepted as a bearer: %v, want %v", got, want)
		}
		key := keys.Draw(t, "repeated key")
		r := Rotation{From: generation, At: now, IdempotencyKey: key, Shared: rapid.Bool().Draw(t, "shared")}
		switch classifyReuse(s, second.Draw(t, "issued"), r, p) {
		case reuseReplay:
			var window time.Duration
			switch key {
			case IdempotencyKeyHash{}:
				window = p.ReplayWithoutKey
			case s.IdempotencyKey:
				window = replayWindow
			}
			if r.Shared {
				window = max(window, sharedWindow)
			}
			if !predecessor || now >= s.Idle || since >= seconds(window) {
				t.Error("replayed")
			}
		case reuseTheft:
			if generation >= s.Generation {
				t.Error("the current token was taken for theft")
			}
			if predecessor && now-max(s.Refreshed, s.raceBegan()) <= seconds(raceWindow) {
				t.Error("a race was taken for theft")
			}
		}
	})
}
