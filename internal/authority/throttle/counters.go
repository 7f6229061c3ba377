package throttle

import (
	"math"
	"time"
)

// The limits on failures.
const (
	freeFailures        = 5                // in a row at an account, without a wait
	freeAddressFailures = 50               // in a row from an address, over all accounts, without a wait
	maxFailures         = 100              // in a row at an account (NIST SP 800-63B-4, 3.2.2)
	reopenedFailures    = 15               // left when the owner reopens an account: still maxWait
	maxWait             = 15 * time.Minute // between two attempts
)

// The lives of counters.
const (
	lifeWithoutWait = 24 * time.Hour       // for a counter with too few failures for a wait
	lifeWithWait    = 365 * 24 * time.Hour // for a counter that causes a wait
	knownLife       = 90 * 24 * time.Hour  // for a known address
	addressLife     = time.Hour            // for the counter of an address
	never           = math.MaxInt64        // expiry of maxFailures, because the account must not reopen by itself

	maxAccounts = 1_000_000 // counters of accounts, because clients can make up logins
)

// Counter counts failures. The zero value is a counter without a row.
type Counter struct {
	Failures    int64 // in a row
	LastFailure int64 // when the last failure was
	Expires     int64 // from when the counter is the same as none
}

// Counters are the counters that an attempt may be subject to. A known address is subject to its own counter alone, so
// that attempts from other addresses cannot lock it out.
type Counters struct {
	Known            *Counter // nil if the address is not known at the account
	Account, Address Counter
}

// Begin counts an attempt as failed, or returns how long it must wait.
func (t Counters) Begin(now int64) (next Counters, wait time.Duration) {
	if t.Known != nil {
		known := t.Known.at(now)
		next.Known = new(known.failed(now, knownLife))
		return next, known.wait(now, freeFailures, maxFailures)
	}
	account, address := t.Account.at(now), t.Address.at(now)
	next.Account, next.Address = account.failed(now, lifeWithoutWait), address.failed(now, 0)
	next.Address.Expires = now + seconds(addressLife)
	return next, max(account.wait(now, freeFailures, maxFailures), address.wait(now, freeAddressFailures, 0))
}

// Resolve returns the counters after the outcome of an attempt that Begin counted as failed.
func (t Counters) Resolve(now int64, known bool, o Outcome) Counters {
	if !known {
		t.Address = t.Address.takeBack()
	}
	switch {
	case o == Succeeded:
		t.Account = t.Account.succeeded(now, known)
		t.Known = &Counter{LastFailure: now, Expires: now + seconds(knownLife)}
	case known && t.Known != nil:
		t.Known = new(t.Known.takeBack())
	case !known:
		t.Account = t.Account.takeBack()
	}
	return t
}

// at returns the counter, or the zero value if it is expired.
func (t Counter) at(now int64) Counter {
	if t.Expires <= now {
		return Counter{}
	}
	return t
}

// failed returns the counter with one more failure. life is how long it is kept while it costs no wait.
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

func (t Counter) takeBack() Counter {
	t.Failures = max(t.Failures-1, 0)
	return t
}

// succeeded returns an account's counter after a sign-in. A sign-in from a known address reopens an account that has
// maxFailures, but does not clear its counter: the failures are of other addresses, and an account that signs in often
// would otherwise allow any number of them.
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

// wait returns how long the next attempt must wait: 1 s after free failures, and twice as long after each further one,
// up to maxWait. From limit failures on, the wait does not end; a limit of 0 is none. If the clock went back, the wait
// is no longer than maxWait.
func (t Counter) wait(now, free, limit int64) time.Duration {
	switch {
	case limit > 0 && t.Failures >= limit:
		return maxWait
	case t.Failures < free:
		return 0
	}
	full := min(time.Second<<min(t.Failures-free, 20), maxWait)
	rest := t.LastFailure + seconds(full) - now
	return time.Duration(min(max(rest, 0), seconds(maxWait))) * time.Second
}

// seconds converts a duration to the unit of points in time.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
