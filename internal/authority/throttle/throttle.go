package throttle

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/tracing"
)

// The limits on guessing a password.
const (
	freeGuesses   = 5   // failed guesses in a row at an account that cost no wait
	freeAtAddress = 50  // the same of one address, over all accounts
	mostGuesses   = 100 // in a row at one account (NIST SP 800-63B-4, 3.2.2)
	longestWait   = 15 * time.Minute
	guessesOpened = 15 // what is left of mostGuesses when the owner opens the account: the wait stays the longest

	forgetFew     = 24 * time.Hour       // until a count without a wait is forgotten
	forgetMany    = 365 * 24 * time.Hour // until one with a wait is
	forgetKnown   = 90 * 24 * time.Hour  // until an address is not known any more
	forgetAddress = time.Hour            // until an address has a new start
	never         = math.MaxInt64        // a count of mostGuesses: else an account would open by itself

	maxAccounts = 1_000_000 // of accounts: strangers make them up too

	parallelGuesses = 4  // of one address at one account at once: below freeGuesses
	waitingGuesses  = 64 // that wait for one of those
)

// Store counts failed guesses of passwords. A row of it is one of three
// counts: of an account, over all addresses that are not known there; of an
// address at an account where it signed in well before (a known address);
// and of an address, over all accounts. What each count means is Tallies'.
type Store interface {
	// BeginAttempt reads the counts that g is held to, and counts g as failed,
	// if g need not wait: so of many that come at once, none escapes. If g must
	// wait, nothing changes, and wait is how long. known says that
	// g is held to the count of a known address: SettleGuess wants to know.
	BeginAttempt(ctx context.Context, g Attempt) (wait time.Duration, known bool, err error)
	// ResolveAttempt says how a guess that was begun came out.
	ResolveAttempt(ctx context.Context, g Attempt, known bool, o Outcome) error
	// ClearAttempts removes all counts of an account. A known address of it with
	// no failures stays known, so that strangers who go on do not lock it out.
	ClearAttempts(ctx context.Context, account AccountHash) error
	// SweepAttempts removes counts that are forgotten at now and, of counts of
	// accounts above most, those that would be forgotten first: limit at most
	// of both. It returns how many it removed.
	SweepAttempts(ctx context.Context, now int64, most, limit int) (removed int, err error)
}

// AccountHash names an account, one that is not there too: a hash of its login.
// Zero stands for all accounts, in the rows of addresses.
type AccountHash [16]byte

// HashLogin gives the key of a login, without regard to case.
func HashLogin(login string) AccountHash {
	sum := sha256.Sum256([]byte("login\x00" + strings.ToLower(login)))
	return AccountHash(sum[:16])
}

// AddressBlock is what counts as one address: an IPv4 address, or the /64 of
// an IPv6 address, which is what one subscriber gets.
func AddressBlock(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	address = address.Unmap().WithZone("")
	bits := 64
	if address.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(address, bits).Masked().String()
}

// Attempt is one check of a password.
type Attempt struct {
	Account AccountHash
	Address string // an AddressBlock
	At      int64
}

// Outcome is how a guess came out, if not wrong: that is what it is begun as.
type Outcome uint8

// The outcomes.
const (
	Succeeded Outcome = iota // ends the count that it was held to; the address is known from now on
	Unchecked                // the password was not looked at: as if never begun
)

// Counter is one count. The zero value is none.
type Counter struct {
	Failures    int64 // in a row
	LastFailure int64 // when the last one was
	Expires     int64 // when the row is as good as not there
}

// Counters are the counts that a guess can be held to. What a guess of a known
// address does is its own affair: a stranger cannot lock it out.
type Counters struct {
	Known            *Counter // nil for an address that is not known at the account
	Account, Address Counter
}

// Begin counts a guess as failed, or says how long it must wait.
func (t Counters) Begin(now int64) (next Counters, wait time.Duration) {
	if t.Known != nil {
		known := t.Known.at(now)
		next.Known = new(known.failed(now, forgetKnown))
		return next, known.wait(now, freeGuesses, mostGuesses)
	}
	account, address := t.Account.at(now), t.Address.at(now)
	next.Account, next.Address = account.failed(now, forgetFew), address.failed(now, 0)
	next.Address.Expires = now + seconds(forgetAddress)
	return next, max(account.wait(now, freeGuesses, mostGuesses), address.wait(now, freeAtAddress, 0))
}

// Resolve gives the counts after an outcome.
func (t Counters) Resolve(now int64, known bool, o Outcome) Counters {
	if !known {
		t.Address = t.Address.takeBack()
	}
	switch {
	case o == Succeeded:
		t.Account = t.Account.opened(now, known)
		t.Known = &Counter{LastFailure: now, Expires: now + seconds(forgetKnown)}
	case known && t.Known != nil:
		t.Known = new(t.Known.takeBack())
	case !known:
		t.Account = t.Account.takeBack()
	}
	return t
}

func (t Counter) at(now int64) Counter {
	if t.Expires <= now {
		return Counter{}
	}
	return t
}

func (t Counter) failed(now int64, keep time.Duration) Counter {
	t.Failures, t.LastFailure = t.Failures+1, now
	if t.Failures >= freeGuesses {
		keep = forgetMany
	}
	t.Expires = now + seconds(keep)
	if t.Failures >= mostGuesses {
		t.Expires = never
	}
	return t
}

func (t Counter) takeBack() Counter {
	t.Failures = max(t.Failures-1, 0)
	return t
}

// opened is an account's count after a sign-in. One from a known address opens
// an account that is closed to strangers, and no more: if it forgave them, an
// account that signs in often would be open to guesses at any rate.
func (t Counter) opened(now int64, known bool) Counter {
	if !known {
		return Counter{}
	}
	if t.Failures >= mostGuesses {
		t.Failures, t.Expires = guessesOpened, now+seconds(forgetMany)
	}
	return t
}

// wait is how long the next guess must wait: after free ones 1 s, and twice as
// long after each that follows, up to longestWait. At most (0: no such bound)
// it is for good. Time that went backwards adds no more than that again.
func (t Counter) wait(now, free, most int64) time.Duration {
	switch {
	case most > 0 && t.Failures >= most:
		return longestWait
	case t.Failures < free:
		return 0
	}
	long := min(time.Second<<min(t.Failures-free, 20), longestWait)
	left := t.LastFailure + seconds(long) - now
	return time.Duration(min(max(left, 0), seconds(longestWait))) * time.Second
}

// seconds converts a duration to the unit of points in time.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Config configures a Throttle. Tracer is optional; every other field is required.
type Config struct {
	Store  Store
	Clock  func() time.Time
	Log    *slog.Logger
	Tracer *tracing.Tracer
}

// Throttle slows down failed attempts at passwords. It is safe for concurrent use.
type Throttle struct {
	store    Store
	clock    func() time.Time
	log      *slog.Logger
	tracer   *tracing.Tracer
	attempts *semaphore
}

// New returns a Throttle.
func New(c Config) *Throttle {
	return &Throttle{store: c.Store, clock: c.Clock, log: c.Log, tracer: c.Tracer, attempts: newSemaphore()}
}

// Check runs check, which looks at a password, unless the failure counters say that the caller must wait. An error of
// check of kind fault.InvalidCredentials counts as a failure; after any other error the attempt does not count. Too
// many attempts are an error of kind fault.RateLimited; too many at once are password.ErrBusy.
func (t *Throttle) Check(ctx context.Context, login, ip string, check func() error) error {
	attempt := Attempt{Account: HashLogin(login), Address: AddressBlock(ip), At: t.clock().Unix()}
	leave, err := t.attempts.acquire(ctx, attempt)
	if err != nil {
		return err
	}
	defer leave()
	spanned, end := t.tracer.Start(ctx, "store BeginGuess")
	wait, known, err := t.store.BeginAttempt(spanned, attempt)
	if end(err); err != nil {
		return fault.FromStore(err, nil)
	}
	if wait > 0 {
		return tooManyFailures(wait)
	}
	err = check()
	switch {
	case err == nil:
		t.resolve(ctx, attempt, known, Succeeded)
	case fault.KindOf(err) != fault.InvalidCredentials:
		t.resolve(ctx, attempt, known, Unchecked)
	}
	return err
}

// resolve records the outcome even if the request's time is up. A failure to record it does not fail the login: the
// counters then have one failure too many.
func (t *Throttle) resolve(ctx context.Context, attempt Attempt, known bool, outcome Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	ctx, end := t.tracer.Start(ctx, "store SettleGuess")
	err := t.store.ResolveAttempt(ctx, attempt, known, outcome)
	if end(err); err != nil {
		t.log.WarnContext(ctx, "failure counters not updated", "err", err)
	}
}

// Clear forgets the failed attempts at an account.
func (t *Throttle) Clear(ctx context.Context, login string) error {
	return fault.FromStore(t.store.ClearAttempts(ctx, HashLogin(login)), nil)
}

// Sweep removes expired counters, limit at most, and returns how many it removed.
func (t *Throttle) Sweep(ctx context.Context, limit int) (removed int, err error) {
	return t.store.SweepAttempts(ctx, t.clock().Unix(), maxAccounts, limit)
}

func tooManyFailures(wait time.Duration) error {
	return &fault.Error{
		Kind:       fault.RateLimited,
		RetryAfter: wait,
		Message:    "Too many sign-ins failed; wait as long as Retry-After says, or ask an administrator to open the account.",
	}
}
