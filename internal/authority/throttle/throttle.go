// Package throttle slows down failed sign-ins, so that passwords cannot be guessed.
//
// Each attempt begins with a reservation in the store (see Store), which counts as a failure until its outcome is
// resolved. Attempts begun at the same time are therefore all counted. After a few failures in a row the next attempt
// has to wait, longer with each failure (counters.go). Known addresses, from which an account signed in before, have
// counters of their own, so that other addresses cannot lock the account's owner out. A keyed semaphore limits how many
// attempts of one address at one account run at the same time, because the attempts of one client would otherwise
// throttle each other.
package throttle

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/tracing"
)

// Config configures a Throttle. Tracer is optional; every other field is required.
type Config struct {
	Store  Store
	Clock  func() time.Time
	Log    *slog.Logger
	Tracer *tracing.Tracer
}

// Throttle slows down failed attempts at passwords. It is safe for concurrent use.
type Throttle struct {
	config    Config
	semaphore *semaphore
}

// New returns a Throttle.
func New(c Config) *Throttle { return &Throttle{config: c, semaphore: newSemaphore()} }

// Begin begins an attempt at a password. The caller checks the password, calls Resolve with the result, and always
// calls Release. The error is of kind fault.RateLimited if the caller must wait, or of kind fault.Unavailable if the
// store is unreachable or too many attempts are in progress.
func (t *Throttle) Begin(ctx context.Context, login, ip string) (*Pending, error) {
	attempt := Attempt{Account: HashLogin(login), Address: AddressBlock(ip), At: t.config.Clock().Unix()}
	rand.Read(attempt.ID[:]) // never fails (crypto/rand)
	release, err := t.semaphore.acquire(ctx, attempt)
	if err != nil {
		return nil, fault.Busy(err)
	}
	storeCtx, end := t.config.Tracer.Start(ctx, "store BeginAttempt")
	wait, known, err := t.config.Store.BeginAttempt(storeCtx, attempt)
	end(err)
	switch {
	case err != nil:
		release()
		return nil, fault.FromStore(err, nil)
	case wait > 0:
		release()
		return nil, &fault.Error{
			Kind: fault.RateLimited, RetryAfter: wait,
			Message: "Too many failed sign-ins; retry after the time in Retry-After, " +
				"or ask an administrator to reset the user.",
		}
	}
	return &Pending{throttle: t, attempt: attempt, known: known, release: release}, nil
}

// Sweep removes counters that are expired at now, at most limit, and returns how many it removed.
func (t *Throttle) Sweep(ctx context.Context, now int64, limit int) (removed int, err error) {
	return t.config.Store.SweepAttempts(ctx, now, maxAccounts, limit)
}

// Pending is an attempt with an unresolved outcome.
type Pending struct {
	throttle *Throttle
	attempt  Attempt
	known    bool // whether the address is known to the account
	release  func()
}

// resolveTimeout bounds Resolve.
const resolveTimeout = 2 * time.Second

// Resolve records the outcome of an attempt: err is nil if the password was right, and of kind
// fault.InvalidCredentials if it was wrong. With any other error the password was not checked, and the attempt does
// not count. Resolve works even if ctx has ended.
//
// Resolve returns an error of kind fault.Unavailable if it could not record a wrong password. The client must then get
// this error, because it may learn that a password is wrong only if that counts.
func (p *Pending) Resolve(ctx context.Context, err error) error {
	outcome := Unchecked
	switch {
	case err == nil:
		outcome = Succeeded
	case fault.KindOf(err) == fault.InvalidCredentials:
		outcome = Failed
	}
	c := p.throttle.config
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	ctx, end := c.Tracer.Start(ctx, "store ResolveAttempt")
	storeErr := c.Store.ResolveAttempt(ctx, p.attempt, p.known, outcome)
	end(storeErr)
	if storeErr != nil {
		c.Log.WarnContext(ctx, "failure counters not updated", "err", storeErr)
		if outcome == Failed {
			return fault.FromStore(storeErr, nil)
		}
	}
	return nil
}

// Release lets the next attempt of the same address at the same account run. The reservation of an unresolved attempt
// stays for ReservationLife.
func (p *Pending) Release() { p.release() }
