package storetest

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
)

func guess(login, address string, at int64) authority.Guess {
	return authority.Guess{Account: authority.AccountKeyOf(login), Address: address, At: at}
}

// fail makes a wrong guess and returns the wait that refused it, 0 if none.
func (s *state) fail(g authority.Guess) int64 {
	s.Helper()
	wait, _, err := s.BeginGuess(s.Context(), g)
	s.ok(err)
	return wait
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
	if wait := s.fail(guess("ada", "a", at+30*24*3600)); wait == 0 {
		t.Error("a guess after 100 in a row")
	}
	s.ok(s.ForgetGuesses(t.Context(), authority.AccountKeyOf("ada")))
	if wait := s.fail(guess("ada", "c", at)); wait != 0 {
		t.Errorf("after all was forgotten the wait is %d", wait)
	}
}

// testGuardKnown: a stranger does not lock out an address that signed in
// before, and what that one does opens the account.
func testGuardKnown(t *testing.T, s *state) {
	right := func(g authority.Guess, o authority.Outcome, wantKnown bool) {
		t.Helper()
		wait, known, err := s.BeginGuess(t.Context(), g)
		if s.ok(err); wait != 0 || known != wantKnown {
			t.Fatalf("wait %d, known %v", wait, known)
		}
		s.ok(s.SettleGuess(t.Context(), g, known, o))
	}
	right(guess("ada", "home", now), authority.GuessRight, false)
	for range 5 {
		s.fail(guess("ada", "away", now))
	}
	if s.fail(guess("ada", "away", now)) == 0 {
		t.Error("a stranger need not wait")
	}
	for range 20 {
		right(guess("ada", "home", now), authority.GuessUnchecked, true)
	}
	right(guess("ada", "home", now), authority.GuessRight, true)
	if wait := s.fail(guess("ada", "away", now)); wait != 0 {
		t.Errorf("after the owner signed in a stranger waits %d", wait)
	}
	for range 5 {
		s.fail(guess("ada", "home", now))
	}
	if s.fail(guess("ada", "home", now)) == 0 {
		t.Error("a known address need not wait")
	}
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
			wait, _, err := s.BeginGuess(t.Context(), guess("ada", "a", now))
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
		removed, err := s.SweepGuesses(t.Context(), now+24*3600, 2)
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
