package throttle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/pawlauth/pawl/internal/prepare"
)

// Store keeps the failure counters. Each row is one of three kinds of counter:
//
//   - the counter of an account counts attempts from all addresses unknown to the account,
//   - the counter of an account and an address counts attempts from an address that is known to the account, because
//     an earlier sign-in came from it,
//   - the counter of an address counts attempts at all accounts.
//
// Counters has the rules for the rows. Each method is one atomic step, and durable when it returns nil. The only error
// of the contract is fault.ErrUnavailable: the store is unreachable or cannot write.
//
// A store also keeps a reservation for each attempt in progress. The reservation counts as a failure in the counters
// that the attempt is subject to, so that concurrent attempts cannot exceed the limits. It ends when the attempt is
// resolved, when the process of the attempt dies, or after ReservationLife. An attempt that was cut off by a crash
// therefore does not count.
type Store interface {
	// BeginAttempt reads the counters of an attempt (Counters.Wait). If the attempt need not wait, it is reserved in
	// the same step. If it must wait, BeginAttempt returns how long, and changes nothing. known reports whether the
	// address is known to the account. Pass it on to ResolveAttempt.
	BeginAttempt(ctx context.Context, a Attempt) (wait time.Duration, known bool, err error)
	// ResolveAttempt updates the counters of an attempt once its outcome is known (Counters.Resolve), and then ends its
	// reservation. It works even if the reservation has ended.
	ResolveAttempt(ctx context.Context, a Attempt, known bool, o Outcome) error
	// SweepAttempts removes counters that are expired at now. If there are more than maxAccounts counters of accounts,
	// it also removes those expiring first. It removes at most limit of both together, and returns how many.
	SweepAttempts(ctx context.Context, now int64, maxAccounts, limit int) (removed int, err error)
}

// ReservationLife is longer than a request with a password may take.
const ReservationLife = 15 * time.Second

// Attempt is one check of a password.
type Attempt struct {
	ID      AttemptID
	Account AccountHash
	Address string // see AddressBlock
	At      int64
}

// Ended reports whether the reservation of an attempt has ended by its age, or is from before the clock went back.
func (a Attempt) Ended(now int64) bool {
	return a.At+seconds(ReservationLife) <= now || a.At > now+seconds(maxSkew)
}

// AttemptID identifies an attempt. It is random.
type AttemptID [16]byte

// Outcome is how an attempt ended.
type Outcome uint8

// The outcomes.
const (
	Failed    Outcome = iota // the password was wrong, or the user may not sign in
	Succeeded                // clears the counter, and makes the address known to the account
	Unchecked                // the password was not checked: the attempt does not count
)

// AccountHash identifies an account, existing or not, by a hash of its login. The counter of an address has the zero
// value, because it applies to all accounts.
type AccountHash [16]byte

// HashLogin returns the hash of a login's prepared form. A login without one is hashed as it is.
func HashLogin(login string) AccountHash {
	sum := sha256.Sum256([]byte("login\x00" + cmp.Or(prepare.LoginKey(login), login)))
	return AccountHash(sum[:16])
}

// AddressBlock returns the block counted as one address: an IPv4 address, or the /64 of an IPv6 address, because one
// subscriber has all of it.
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
