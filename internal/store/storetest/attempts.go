package storetest

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/throttle"
)

func newAttempt(login, address string, at int64) throttle.Attempt {
	a := throttle.Attempt{Account: throttle.HashLogin(login), Address: address, At: at}
	rand.Read(a.ID[:])
	return a
}

// begin begins an attempt, leaves it in progress, and returns how long it must wait.
func (s *state) begin(login, address string, at int64) time.Duration {
	s.Helper()
	wait, _, err := s.BeginAttempt(s.Context(), newAttempt(login, address, at))
	s.noError(err)
	return wait
}

// fail begins an attempt and lets it fail if it need not wait. It returns how long the attempt must wait.
func (s *state) fail(login, address string, at int64) time.Duration {
	s.Helper()
	attempt := newAttempt(login, address, at)
	wait, known, err := s.BeginAttempt(s.Context(), attempt)
	s.noError(err)
	if wait == 0 {
		s.noError(s.ResolveAttempt(s.Context(), attempt, known, throttle.Failed))
	}
	return wait
}

// wantWait ends the test if a failing attempt need not wait for as long.
func (s *state) wantWait(login, address string, at int64, want time.Duration) {
	s.Helper()
	if wait := s.fail(login, address, at); wait != want {
		s.Fatalf("an attempt at %q from %q, %d s after the start, must wait %v, want %v",
			login, address, at-now, wait, want)
	}
}

// wantSomeWait ends the test if a failing attempt need not wait.
func (s *state) wantSomeWait(login, address string, at int64) {
	s.Helper()
	if s.fail(login, address, at) == 0 {
		s.Fatalf("an attempt at %q from %q, %d s after the start, need not wait", login, address, at-now)
	}
}

// resolve begins an attempt that need not wait, and resolves it.
func (s *state) resolve(login, address string, at int64, outcome throttle.Outcome, wantKnown bool) {
	s.Helper()
	attempt := newAttempt(login, address, at)
	wait, known, err := s.BeginAttempt(s.Context(), attempt)
	s.noError(err)
	if wait != 0 || known != wantKnown {
		s.Fatalf("an attempt at %q from %q: wait %v, known %v; want 0, %v", login, address, wait, known, wantKnown)
	}
	s.noError(s.ResolveAttempt(s.Context(), attempt, known, outcome))
}

// testAttempts fails at one account until no attempt is allowed any more.
func testAttempts(t *testing.T, s *state) {
	for i := range int64(5) {
		s.wantWait("Ada", "a", now+i, 0)
	}
	s.wantWait("aDA", "b", now+4, time.Second) // from another address, and in another case
	s.wantWait("other", "a", now+4, 0)
	s.reopen()
	s.wantWait("ada", "a", now+4, time.Second)
	at := int64(now + 4)
	for failures := int64(5); failures < 100; failures++ {
		at += min(int64(1)<<min(failures-5, 20), 900)
		s.wantWait("ada", "a", at-1, time.Second)
		s.wantWait("ada", "a", at, 0)
	}
	const years = 10 * 365 * 24 * 3600
	_, err := s.SweepAttempts(t.Context(), at+years, 1000, 1000)
	s.noError(err)
	s.wantSomeWait("ada", "a", at+years)
	s.clearAttempts("ada")
	s.wantWait("ada", "c", at, 0)
}

// testAttemptsAfterSetBack sets the clock back. If it goes back by more than the clocks of two nodes may differ, one
// attempt need not wait, and the wait continues from there.
func testAttemptsAfterSetBack(_ *testing.T, s *state) {
	const hour = 3600
	for range 5 {
		s.wantWait("ada", "a", now+hour, 0)
	}
	s.wantSomeWait("ada", "a", now)
	s.wantWait("ada", "a", now-1, 0)
	s.wantWait("ada", "a", now-1, 2*time.Second)

	for range 5 { // attempts that are never resolved
		_, _, err := s.BeginAttempt(s.Context(), newAttempt("bob", "b", now+hour))
		s.noError(err)
	}
	s.wantSomeWait("bob", "b", now)
	s.wantWait("bob", "b", now-1, 0)
}

// testAttemptsKnownAddress checks that failures from other addresses do not lock out a known address. A sign-in from
// the known address reopens the account, but does not clear the failures of the others.
func testAttemptsKnownAddress(t *testing.T, s *state) {
	s.resolve("ada", "home", now, throttle.Succeeded, false)
	for range 5 {
		s.fail("ada", "other", now)
	}
	s.wantSomeWait("ada", "other", now)
	for range 20 {
		s.resolve("ada", "home", now, throttle.Unchecked, true)
	}
	s.resolve("ada", "home", now, throttle.Succeeded, true)
	s.wantSomeWait("ada", "other", now)
	at := int64(now)
	for range 95 {
		at += 900
		s.wantWait("ada", "other", at, 0)
	}
	s.wantSomeWait("ada", "other", at+900) // after 100 failures in a row
	s.resolve("ada", "home", at, throttle.Succeeded, true)
	s.wantWait("ada", "other", at, 15*time.Minute)
	s.resolve("ada", "other", at+900, throttle.Succeeded, false) // clears the counter of the account
	s.wantWait("ada", "third", at+900, 0)
	for range 5 {
		s.fail("ada", "home", at)
	}
	s.wantSomeWait("ada", "home", at)
	s.clearAttempts("ada")
	s.resolve("ada", "other", at, throttle.Unchecked, true) // it had no failures
	s.resolve("ada", "home", at, throttle.Unchecked, false)
}

// testAttemptsOfAddress fails from one address at many accounts.
func testAttemptsOfAddress(_ *testing.T, s *state) {
	for i := range 50 {
		s.wantWait(string(rune('A'+i)), "a", now, 0)
	}
	s.wantSomeWait("new", "a", now)
	s.wantWait("new", "b", now, 0)
	s.wantWait("new", "a", now+3600, 0)
}

// testAttemptsRace begins 100 attempts at the same time. Five of the attempts need not wait.
func testAttemptsRace(t *testing.T, s *state) {
	var group sync.WaitGroup
	var admitted atomic.Int32
	for range 100 {
		group.Go(func() {
			wait, _, err := s.BeginAttempt(t.Context(), newAttempt("ada", "a", now))
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				admitted.Add(1)
			}
		})
	}
	group.Wait()
	if n := admitted.Load(); n != 5 {
		t.Errorf("%d attempts need not wait, want 5", n)
	}
}

// testAttemptsInProgress leaves attempts in progress. They count as failures until they are resolved, the process dies,
// or ReservationLife has passed. A failure that is resolved after that counts.
func testAttemptsInProgress(t *testing.T, s *state) {
	const life = int64(throttle.ReservationLife / time.Second)
	begin := func(n int, login, address string, at int64) {
		t.Helper()
		for range n {
			if wait := s.begin(login, address, at); wait != 0 {
				t.Fatalf("an attempt at %q from %q must wait %v", login, address, wait)
			}
		}
	}
	s.resolve("ada", "home", now, throttle.Succeeded, false)
	begin(5, "ada", "home", now) // a known address
	begin(5, "ada", "other", now)
	for i := range 45 {
		begin(1, string(rune('A'+i)), "other", now) // with the 5 above, 50 from one address
	}
	others := [][2]string{{"ada", "home"}, {"ada", "third"}, {"new", "other"}}
	for _, o := range others {
		s.wantSomeWait(o[0], o[1], now)
	}
	for _, o := range others {
		begin(1, o[0], o[1], now+life)
	}
	for range 2 {
		s.reopen() // ends all attempts in progress
		for _, o := range others {
			for s.begin(o[0], o[1], now) > 0 { // until the database notices the end of the process
				time.Sleep(time.Millisecond)
			}
		}
	}
	s.reopen()

	slow := newAttempt("ada", "home", now)
	_, known, err := s.BeginAttempt(t.Context(), slow)
	s.noError(err)
	for range 4 {
		s.fail("ada", "home", now+life)
	}
	s.wantWait("ada", "third", now+life, 0)
	s.noError(s.ResolveAttempt(t.Context(), slow, known, throttle.Failed))
	s.wantSomeWait("ada", "home", now)
}

// testAttemptsSweep sweeps counters after a day, in steps of two.
func testAttemptsSweep(t *testing.T, s *state) {
	s.fail("few", "a", now)
	for range 5 {
		s.fail("many", "b", now)
	}
	total := 0
	for {
		removed, err := s.SweepAttempts(t.Context(), now+24*3600, 1000, 2)
		s.noError(err)
		total += removed
		if removed < 2 {
			break
		}
	}
	if total != 3 {
		t.Errorf("%d counters were removed, want 3: of two addresses, and of the account without a wait", total)
	}
	s.wantSomeWait("many", "b", now)
}

// testAttemptsMaxAccounts sweeps while there are too many counters of accounts. The first to expire are removed. The
// counters of addresses and the known addresses stay.
func testAttemptsMaxAccounts(t *testing.T, s *state) {
	s.resolve("ada", "home", now, throttle.Succeeded, false)
	for range 5 {
		s.fail("many", "a", now)
	}
	for i := range 20 {
		s.fail(string(rune('A'+i)), "b", now+int64(i))
	}
	_, err := s.SweepAttempts(t.Context(), now, 1000, 1000) // removes rows of zeros (one store has them)
	s.noError(err)
	for _, want := range []int{7, 7, 4, 0} { // 3 of 21 accounts stay
		removed, err := s.SweepAttempts(t.Context(), now+100, 3, 7)
		s.noError(err)
		if removed != want {
			t.Errorf("%d counters were removed, want %d", removed, want)
		}
	}
	s.wantSomeWait("many", "a", now)
	if _, known, err := s.BeginAttempt(t.Context(), newAttempt("ada", "home", now)); err != nil || !known {
		t.Errorf("the known address: known %v, %v; want true", known, err)
	}
	for range 29 {
		s.fail("other", "b", now+100)
		s.clearAttempts("other")
	}
	s.wantWait("other", "b", now+100, 0) // the 50th failure of the address
	s.wantSomeWait("other", "b", now+100)
}

// clearAttempts removes the failure counters of an account, and nothing else.
func (s *state) clearAttempts(login string) {
	s.Helper()
	options := authority.EndOptions{ClearAttempts: new(throttle.HashLogin(login))}
	s.mustEndSessions(0, options)
}
