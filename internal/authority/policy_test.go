package authority

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPolicyWithAnyClock holds the policy to what no clock may change. Times of
// a row may lie before or after the present, in any order: clocks jump.
func TestPolicyWithAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Int64Range(0, 1000)
		keys := rapid.SampledFrom([]IdempotencyKeyHash{{}, {1}, {2}})
		s := Session{Generation: rapid.Uint32Range(1, 6).Draw(t, "current"), Refreshed: second.Draw(t, "refreshed"),
			Previous: second.Draw(t, "previous"), Expires: second.Draw(t, "expires"), IdempotencyKey: keys.Draw(t, "key")}
		generation, now := rapid.Uint32Range(1, 6).Draw(t, "generation"), second.Draw(t, "now")
		minute := rapid.Map(rapid.Int64Range(0, 60), func(n int64) time.Duration { return time.Duration(n) * time.Second })
		p := Policy{BearerGrace: minute.Draw(t, "grace"), ReplayWithoutKey: minute.Draw(t, "keyless")}
		predecessor := generation+1 == s.Generation
		since := max(now-s.Refreshed, s.Refreshed-now)

		if good, may := bearerGood(s, generation, now, p), predecessor && since < seconds(p.BearerGrace); good != (generation == s.Generation || may) {
			t.Errorf("as a bearer: %v", good)
		}
		retry := keys.Draw(t, "retry")
		switch classifyReuse(s, generation, second.Draw(t, "issued"), retry, now, p) {
		case reuseReplay:
			window := replayWindow
			if retry == (IdempotencyKeyHash{}) {
				window = p.ReplayWithoutKey
			}
			if !predecessor || retry != s.IdempotencyKey || now >= s.Expires || since >= seconds(window) {
				t.Error("answered again")
			}
		case reuseTheft:
			if generation >= s.Generation {
				t.Error("the current token is taken for theft")
			}
			if predecessor && now-s.Refreshed <= seconds(raceWindow) {
				t.Error("a race is taken for theft")
			}
		}
	})
}
