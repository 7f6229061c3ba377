package authority_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pawlauth/pawl/internal/authority"
)

const (
	tokenLife   = 3600
	sessionLife = 10 * 24 * 3600
	race        = 10
	slack       = 60 // of a sweep: a node whose clock is behind still counts on the row
)

// jumper is a session under a clock that jumps, and what must hold of it.
type jumper struct {
	*testing.T
	a       *authority.Authority
	now     int64
	tokens  []string // of each generation; the last is the current one
	issued  []int64  // when, by the clock
	key     string   // of the last refresh
	expires int64    // of the current token
	ends    int64
	over    bool // the session has ended
}

func newJumper(t *testing.T) *jumper {
	t.Helper()
	j := &jumper{T: t, now: time.Now().Unix()}
	j.a = newAuthority(t, func() time.Time { return time.Unix(j.now, 0) }, func(s authority.Store) authority.Store { return s })
	return j
}

// login opens a session in the place of the one before.
func (j *jumper) login() {
	got, err := j.a.Login(j.Context(), adaLogin, adaPassword, authority.Origin{})
	if err != nil {
		j.Fatal(err)
	}
	j.tokens, j.issued, j.key, j.over = []string{got.Token}, []int64{j.now}, "", false
	j.expires, j.ends = got.Expires, j.now+sessionLife
}

// bearer reports whether the token of a generation passes as a bearer.
func (j *jumper) bearer(i int) bool {
	_, err := j.a.Authenticate(j.Context(), j.tokens[i], "")
	return err == nil
}

// look holds all tokens to what they should be.
func (j *jumper) look(t *rapid.T) {
	last := len(j.tokens) - 1
	for i := range last {
		if j.bearer(i) {
			t.Fatalf("generation %d of %d passes", i+1, last+1)
		}
	}
	if good := !j.over && j.now < j.expires; j.bearer(last) != good {
		t.Fatalf("that the current token passes should be %v", good)
	}
}

// refresh spends the token of a generation.
func (j *jumper) refresh(t *rapid.T, i int, key string) {
	last, now := len(j.tokens)-1, j.now
	got, err := j.a.Refresh(j.Context(), j.tokens[i], "", authority.HashIdempotencyKey(key), authority.Origin{})
	switch {
	case err != nil && i == last:
		if !j.over && now < j.expires {
			t.Fatalf("the current token is not refreshed: %v", err)
		}
	case err != nil:
		left := j.issued[i] // all that is known of the older ones
		if i >= last-2 {
			left = j.issued[i+1]
		}
		j.over = j.over || now-left > race
	case j.over:
		t.Fatal("a session that has ended goes on")
	case i == last:
		j.tokens, j.issued, j.key = append(j.tokens, got.Token), append(j.issued, now), key
		j.expires = min(now+tokenLife, j.ends)
		if got.Expires != j.expires {
			t.Fatalf("the token ends %d s after it should", got.Expires-j.expires)
		}
	case i != last-1 || key == "" || key != j.key || got.Token != j.tokens[last]:
		t.Fatalf("generation %d of %d has another successor", i+1, last+1)
	}
}

// TestClockThatJumps: whatever the clock does, an old token never passes as a
// bearer, and never gets a successor but the one that it was given, once more;
// the current one is good for as long as its exp says, and never taken for
// theft; and what a sweep or a theft ended stays ended.
func TestClockThatJumps(t *testing.T) {
	j := newJumper(t)
	rapid.Check(t, func(t *rapid.T) {
		j.login()
		key := rapid.SampledFrom([]string{"", "a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"":     j.look,
			"tick": func(t *rapid.T) { j.now += rapid.Int64Range(0, 15).Draw(t, "seconds") },
			"jump": func(t *rapid.T) {
				j.now += rapid.SampledFrom([]int64{-24 * 3600, -3600, -60, -15, 60, 1800, 3600, 24 * 3600}).Draw(t, "seconds")
			},
			"refresh": func(t *rapid.T) { j.refresh(t, len(j.tokens)-1, key.Draw(t, "key")) },
			"refresh again": func(t *rapid.T) {
				j.refresh(t, max(0, len(j.tokens)-2), j.key)
			},
			"refresh old": func(t *rapid.T) {
				j.refresh(t, rapid.IntRange(0, len(j.tokens)-1).Draw(t, "generation"), key.Draw(t, "key"))
			},
			"sweep": func(t *rapid.T) {
				if err := j.a.Sweep(j.Context()); err != nil {
					t.Fatal(err)
				}
				j.over = j.over || j.expires <= j.now-slack
			},
		})
	})
}
