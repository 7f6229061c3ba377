package throttle

import (
	"math"
	"time"
)

// The limits on failures in a row.
const (
	freeFailures        = 5                // at an account; below this number no attempt has to wait
	freeAddressFailures = 50               // from an address, over all accounts
	maxFailures         = 100              // at an account, which is then locked (NIST SP 800-63B-4, 3.2.2)
	reopenedFailures    = 15               // the count after the owner unlocks an account; the wait is still maxWait
	maxWait             = 15 * time.Minute // between two attempts
	maxSkew             = time.Hour        // between the clocks of two nodes; longer than maxWait
)

// The lives of counters.
const (
	lifeWithoutWait = 24 * time.Hour       // of a counter below freeFailures
	lifeWithWait    = 365 * 24 * time.Hour // of a counter from freeFailures on
	knownLife       = 90 * 24 * time.Hour  // of a known address below freeFailures
	addressLife     = time.Hour            // of the counter of an address
	never           = math.MaxInt64        // expiry at maxFailures, because time must not unlock the account

	maxAccounts = 1_000_000 // counters of accounts, because clients can make up logins
)

// Counter counts failures. A counter without a row has the zero value.
type Counter struct {
	Failures    int64 // in a row
	LastFailure int64 // when the last failure was
	Expires     int64 // when the counter expires; from then on it counts as zero

	Reserved     int64 // the attempts in progress, which have no row here
	LastReserved int64 // when the last of them began
}

// Counters are the counters that an attempt may be subject to. A known address is subject to its own counter alone, so
// that attempts from other addresses cannot lock it out.
type Counters struct {
	Known            *Counter // nil if the address is unknown to the account
	Account, Address Counter
}

// Reserve counts a reservation in the counters that it shares with attempt a. known reports whether the address of the
// reservation was known to its account. A reservation that has ended by its age is ignored.
func (t *Counters) Reserve(a, reserved Attempt, known bool) {
	sameAccount, sameAddress := reserved.Account == a.Account, reserved.Address == a.Address
	switch {
	case reserved.Ended(a.At):
	case known:
		if sameAccount && sameAddress && t.Known != nil {
			t.Known.reserve(reserved.At)
		}
	default:
		if sameAccount {
			t.Account.reserve(reserved.At)
		}
		if sameAddress {
			t.Address.reserve(reserved.At)
		}
	}
}

func (t *Counter) reserve(at int64) {
	t.Reserved++
	t.LastReserved = max(t.LastReserved, at)
}

// Wait returns how long an attempt must wait.
func (t Counters) Wait(now int64) time.Duration {
	if t.Known != nil {
		return t.Known.at(now).wait(now, freeFailures, maxFailures)
	}
	account, address := t.Account.at(now), t.Address.at(now)
	return max(account.wait(now, freeFailures, maxFailures), address.wait(now, freeAddressFailures, 0))
}

// Resolve returns the counters after the outcome of an attempt that began at a point in time. known reports whether its
// address was known then.
func (t Counters) Resolve(at int64, known bool, o Outcome) Counters {
	switch {
	case o == Unchecked:
	case o == Succeeded:
		t.Account = t.Account.succeeded(at, known)
		t.Known = &Counter{LastFailure: at, Expires: at + seconds(knownLife)}
	case known && t.Known != nil:
		t.Known = new(t.Known.at(at).failed(at, knownLife))
	default:
		t.Account = t.Account.at(at).failed(at, lifeWithoutWait)
		t.Address = t.Address.at(at).failed(at, 0)
		t.Address.Expires = at + seconds(addressLife)
	}
	return t
}

// at returns the counter, without its failures if it is expired.
func (t Counter) at(now int64) Counter {
	if t.Expires <= now {
		return Counter{Reserved: t.Reserved, LastReserved: t.LastReserved}
	}
	return t
}

// failed returns the counter with one more failure. life is the life of a counter below freeFailures.
func (t Counter) failed(now int64, life time.Duration) Counter {
	t.Failures++
	t.LastFailure = now
	if t.Failures >= freeFailures {
		life = lifeWithWait
	}
	t.Expires = now + seconds(life)
	if t.Failures >= maxFailures {
		t.Expires = never
	}
	return t
}

// succeeded returns an account's counter after a sign-in. A sign-in from an unknown address clears the counter. A
// sign-in from a known address does not, because the counted failures came from other addresses, and an account in
// daily use would otherwise allow unlimited guessing. It only unlocks an account with maxFailures.
func (t Counter) succeeded(now int64, known bool) Counter {
	if !known {
		return Counter{}
	}
	if t.Failures >= maxFailures {
		t.Failures = reopenedFailures
		t.Expires = now + seconds(lifeWithWait)
	}
	return t
}

// wait returns how long the next attempt must wait. A reservation counts as a failure. The wait is 0 while there are
// fewer than free, 1 s when there are free, and twice as long after each further failure, up to maxWait. From limit
// failures on, an attempt must always wait. A limit of 0 means no limit. If the clock went back, the wait is still at
// most maxWait. A failure from more than maxSkew ahead is from before the clock went back, and delays no attempt.
// Otherwise, an owner would wait for as long as the step.
func (t Counter) wait(now, free, limit int64) time.Duration {
	failures := t.Failures + t.Reserved
	switch {
	case limit > 0 && failures >= limit:
		return maxWait
	case failures < free:
		return 0
	}
	full := min(time.Second<<min(failures-free, 20), maxWait)
	last := t.LastReserved
	if t.LastFailure <= now+seconds(maxSkew) {
		last = max(last, t.LastFailure)
	}
	rest := last + seconds(full) - now
	return time.Duration(min(max(rest, 0), seconds(maxWait))) * time.Second
}

// seconds converts a duration to the unit of points in time.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
