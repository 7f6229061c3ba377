package authority_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pawlauth/pawl/internal/authority"
)

// The times of the model, in seconds.
const (
	tokenLife    = 3600
	sessionLife  = 10 * 24 * 3600
	raceWindow   = 10
	replayWindow = 120
	sweepSlack   = 60 // Sweep keeps a session for so long after its end
)

// sessionModel is a session under a jumping clock, with the state expected by the test.
type sessionModel struct {
	*testing.T
	a      *authority.Authority
	now    int64
	tokens []string // one for each generation; the last one is current
	issued []int64  // the times of issue, by the clock
	key    string   // the Idempotency-Key of the last refresh
	// raced and racedBefore are when the race windows of the last two superseded generations began.
	raced, racedBefore int64
	expires            int64 // the exp of the current token
	ends               int64
	ended              bool
}

func newSessionModel(t *testing.T) *sessionModel {
	t.Helper()
	m := &sessionModel{T: t, now: time.Now().Unix()}
	clock := func() time.Time { return time.Unix(m.now, 0) }
	m.a = newAuthority(t, clock, func(s authority.Store) authority.Store { return s })
	return m
}

// login opens a session in place of the one before.
func (m *sessionModel) login() {
	got, err := m.a.Login(m.Context(), adaLogin, adaPassword, authority.Origin{})
	if err != nil {
		m.Fatal(err)
	}
	m.tokens = []string{got.Token}
	m.issued = []int64{m.now}
	m.key = ""
	m.raced, m.racedBefore = m.now, 0
	m.expires = got.Expires
	m.ends = m.now + sessionLife
	m.ended = false
}

// accepted reports whether the token of a generation is accepted as a bearer.
func (m *sessionModel) accepted(i int) bool {
	_, err := m.a.Authenticate(m.Context(), m.tokens[i], "", 0)
	return err == nil
}

// check checks that the current token is accepted until its exp, and no other token is accepted.
func (m *sessionModel) check(t *rapid.T) {
	last := len(m.tokens) - 1
	for i := range last {
		if m.accepted(i) {
			t.Fatalf("the token of generation %d of %d is accepted", i+1, last+1)
		}
	}
	if got, want := m.accepted(last), !m.ended && m.now < m.expires; got != want {
		t.Fatalf("current token accepted: %v, want %v", got, want)
	}
}

// refresh uses the token of a generation for a refresh.
func (m *sessionModel) refresh(t *rapid.T, i int, key string) {
	last, now := len(m.tokens)-1, m.now
	got, err := m.a.Refresh(m.Context(), authority.RefreshRequest{
		Token: m.tokens[i], IdempotencyKey: authority.HashIdempotencyKey(key),
	})
	switch {
	case err != nil && i == last:
		if !m.ended && now < m.expires {
			t.Fatalf("refresh with the current token: %v", err)
		}
	case err != nil:
		raced := m.issued[i] // for generations before the last two, the server has no better time
		switch last - i {
		case 1:
			raced = m.raced
		case 2:
			raced = m.racedBefore
		}
		m.ended = m.ended || now-raced > raceWindow
	case m.ended:
		t.Fatal("a session that has ended was refreshed")
	case i == last:
		m.tokens = append(m.tokens, got.Token)
		m.issued = append(m.issued, now)
		m.key = key
		m.raced, m.racedBefore = now, m.raced
		if now < m.racedBefore && m.racedBefore <= now+replayWindow { // the clock went back a little
			m.raced = m.racedBefore
		}
		m.racedBefore = min(m.racedBefore, now)
		m.expires = min(now+tokenLife, m.ends)
		if got.Expires != m.expires {
			t.Fatalf("the token expires %d s after the expected time", got.Expires-m.expires)
		}
	case i != last-1 || key == "" || key != m.key || got.Token != m.tokens[last]:
		t.Fatalf("generation %d of %d has another successor", i+1, last+1)
	default: // a replay
		if answered := min(now, m.issued[last]+replayWindow); answered > m.raced {
			m.raced, m.racedBefore = answered, m.issued[last] // the row has one field for both
		}
	}
}

// TestJumpingClock checks the rules that no clock may break. A superseded token is never accepted as a bearer, and gets
// no successor but its own, as a replay. The current token is accepted until its exp, and is never taken for theft. A
// session ended by a sweep or a theft stays ended.
func TestJumpingClock(t *testing.T) {
	m := newSessionModel(t)
	rapid.Check(t, func(t *rapid.T) {
		m.login()
		key := rapid.SampledFrom([]string{"", "a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"":     m.check,
			"tick": func(t *rapid.T) { m.now += rapid.Int64Range(0, 15).Draw(t, "seconds") },
			"jump": func(t *rapid.T) {
				jumps := []int64{-24 * 3600, -3600, -60, -15, 60, 1800, 3600, 24 * 3600}
				m.now += rapid.SampledFrom(jumps).Draw(t, "seconds")
			},
			"refresh": func(t *rapid.T) { m.refresh(t, len(m.tokens)-1, key.Draw(t, "key")) },
			"repeat": func(t *rapid.T) {
				m.refresh(t, max(0, len(m.tokens)-2), m.key)
			},
			"reuse": func(t *rapid.T) {
				m.refresh(t, rapid.IntRange(0, len(m.tokens)-1).Draw(t, "generation"), key.Draw(t, "key"))
			},
			"sweep": func(t *rapid.T) {
				if err := m.a.Sweep(m.Context()); err != nil {
					t.Fatal(err)
				}
				m.ended = m.ended || m.expires <= m.now-sweepSlack
			},
		})
	})
}
