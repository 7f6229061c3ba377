package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

func guess(login, address string, at int64) throttle.Attempt {
	return throttle.Attempt{Account: throttle.HashLogin(login), Address: address, At: at}
}

// fail makes a wrong guess and returns the wait that refused it, 0 if none.
func (s *state) fail(g throttle.Attempt) int64 {
	s.Helper()
	wait, _, err := s.BeginAttempt(s.Context(), g)
	s.ok(err)
	return int64(wait / time.Second)
}

func testGuard(t *testing.T, s *state) {
	for i := range int64(5) {
		if wait := s.fail(guess("Ada", "a", now+i)); wait != 0 {
			t.Fatalf("guess %d waits %d", i+1, wait)
		}
	}
	if wait := s.fail(guess("aDA", "b", now+4)); wait != 1 {
		t.Errorf("after 5 the wait is %d, want 1: from another address too, without regard to case", wait)
	}
	if wait := s.fail(guess("other", "a", now+4)); wait != 0 {
		t.Errorf("another account waits %d", wait)
	}
	s.ok(s.Close())
	s.Store = s.open()
	if wait := s.fail(guess("ada", "a", now+4)); wait != 1 {
		t.Errorf("a restart made the wait %d", wait)
	}
	at := int64(now + 4)
	for failed := int64(5); failed < 100; failed++ {
		at += min(int64(1)<<min(failed-5, 20), 900)
		if wait := s.fail(guess("ada", "a", at-1)); wait != 1 {
			t.Fatalf("after %d the wait is over too early, or late by %d", failed, wait-1)
		}
		if wait := s.fail(guess("ada", "a", at)); wait != 0 {
			t.Fatalf("after %d the wait is not over in time, but in %d", failed, wait)
		}
	}
	const years = 10 * 365 * 24 * 3600
	if _, err := s.SweepAttempts(t.Context(), at+years, 1000, 1000); err != nil {
		t.Error(err)
	}
	if wait := s.fail(guess("ada", "a", at+years)); wait == 0 {
		t.Error("a guess after 100 in a row")
	}
	s.ok(s.ClearAttempts(t.Context(), throttle.HashLogin("ada")))
	if wait := s.fail(guess("ada", "c", at)); wait != 0 {
		t.Errorf("after all was forgotten the wait is %d", wait)
	}
}

// testGuardKnown: a stranger does not lock out an address that signed in
// before. What that one does opens an account that is closed, and forgives
// strangers nothing.
func testGuardKnown(t *testing.T, s *state) {
	right := func(g throttle.Attempt, o throttle.Outcome, wantKnown bool) {
		t.Helper()
		wait, known, err := s.BeginAttempt(t.Context(), g)
		if s.ok(err); wait != 0 || known != wantKnown {
			t.Fatalf("wait %d, known %v", wait, known)
		}
		s.ok(s.ResolveAttempt(t.Context(), g, known, o))
	}
	right(guess("ada", "home", now), throttle.Succeeded, false)
	for range 5 {
		s.fail(guess("ada", "away", now))
	}
	if s.fail(guess("ada", "away", now)) == 0 {
		t.Error("a stranger need not wait")
	}
	for range 20 {
		right(guess("ada", "home", now), throttle.Unchecked, true)
	}
	right(guess("ada", "home", now), throttle.Succeeded, true)
	if s.fail(guess("ada", "away", now)) == 0 {
		t.Error("after the owner signed in a stranger need not wait")
	}
	at := int64(now)
	for range 95 {
		at += 900
		if wait := s.fail(guess("ada", "away", at)); wait != 0 {
			t.Fatalf("a stranger waits %d longer than 15 minutes", wait)
		}
	}
	if s.fail(guess("ada", "away", at+900)) == 0 {
		t.Error("a stranger goes on after 100 in a row")
	}
	right(guess("ada", "home", at), throttle.Succeeded, true)
	if wait := s.fail(guess("ada", "away", at)); wait != 900 {
		t.Errorf("when the owner has opened the account a stranger waits %d, want 900", wait)
	}
	right(guess("ada", "away", at+900), throttle.Succeeded, false) // which ends the strangers' count
	if wait := s.fail(guess("ada", "elsewhere", at+900)); wait != 0 {
		t.Errorf("after a sign-in that was held to the count the wait is %d", wait)
	}
	for range 5 {
		s.fail(guess("ada", "home", at))
	}
	if s.fail(guess("ada", "home", at)) == 0 {
		t.Error("a known address need not wait")
	}
	s.ok(s.ClearAttempts(t.Context(), throttle.HashLogin("ada")))
	right(guess("ada", "away", at), throttle.Unchecked, true) // had no failures
	right(guess("ada", "home", at), throttle.Unchecked, false)
}

// testGuardAddress: one address at many accounts.
func testGuardAddress(t *testing.T, s *state) {
	for i := range 50 {
		if wait := s.fail(guess(string(rune('A'+i)), "a", now)); wait != 0 {
			t.Fatalf("account %d: wait %d", i, wait)
		}
	}
	if s.fail(guess("new", "a", now)) == 0 {
		t.Error("the address may go on")
	}
	if wait := s.fail(guess("new", "b", now)); wait != 0 {
		t.Errorf("another address waits %d", wait)
	}
	if wait := s.fail(guess("new", "a", now+3600)); wait != 0 {
		t.Errorf("an hour later the wait is %d", wait)
	}
}

// testGuardRace lets 100 guesses come at once: five are let in.
func testGuardRace(t *testing.T, s *state) {
	var group sync.WaitGroup
	var admitted atomic.Int32
	for range 100 {
		group.Go(func() {
			wait, _, err := s.BeginAttempt(t.Context(), guess("ada", "a", now))
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
		t.Errorf("%d guesses were let in, want 5", n)
	}
}

func testGuardSweep(t *testing.T, s *state) {
	s.fail(guess("few", "a", now))
	for range 5 {
		s.fail(guess("many", "b", now))
	}
	total := 0
	for {
		removed, err := s.SweepAttempts(t.Context(), now+24*3600, 1000, 2)
		s.ok(err)
		if total += removed; removed < 2 {
			break
		}
	}
	if total != 3 { // the two addresses, and the account with no wait
		t.Errorf("swept %d rows, want 3", total)
	}
	if wait := s.fail(guess("many", "b", now)); wait == 0 {
		t.Error("a count with a wait was swept")
	}
}

// testGuardBound: of too many accounts the counts go that would be forgotten
// first, whoever they are of. Addresses stay, known ones too.
func testGuardBound(t *testing.T, s *state) {
	s.fail(guess("ada", "home", now))
	s.ok(s.ResolveAttempt(t.Context(), guess("ada", "home", now), false, throttle.Succeeded))
	for range 5 {
		s.fail(guess("many", "a", now))
	}
	for i := range 20 {
		s.fail(guess(string(rune('A'+i)), "b", now+int64(i)))
	}
	_, err := s.SweepAttempts(t.Context(), now, 1000, 1000) // rows of zeros, where a store has such
	s.ok(err)
	for _, want := range []int{7, 7, 4, 0} { // 21 accounts
		removed, err := s.SweepAttempts(t.Context(), now+100, 3, 7)
		if s.ok(err); removed != want {
			t.Errorf("removed %d, want %d", removed, want)
		}
	}
	if wait := s.fail(guess("many", "a", now)); wait == 0 {
		t.Error("a count with a wait was removed, and others stayed")
	}
	if _, known, err := s.BeginAttempt(t.Context(), guess("ada", "home", now)); err != nil || !known {
		t.Errorf("a known address was removed: %v", err)
	}
	for range 29 {
		s.fail(guess("other", "b", now+100))
		s.ok(s.ClearAttempts(t.Context(), throttle.HashLogin("other")))
	}
	if wait := s.fail(guess("other", "b", now+100)); wait != 0 {
		t.Errorf("the 50th guess of the address waits %d", wait)
	}
	if s.fail(guess("other", "b", now+100)) == 0 {
		t.Error("the count of an address was removed")
	}
}
