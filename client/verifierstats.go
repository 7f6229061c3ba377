package client

import (
	"errors"
	"sync/atomic"
	"time"
)

// VerifierState is how much a Verifier can decide without Pawl.
type VerifierState int

// The states of a Verifier.
const (
	// VerifierStale means that the feed is older than the bound. Every call asks Pawl.
	VerifierStale VerifierState = iota
	// VerifierCatchingUp means that the feed works, but some valid tokens are older than the feed. Each of them is
	// asked about once.
	VerifierCatchingUp
	// VerifierFresh means that the feed works, and is older than every valid token.
	VerifierFresh
)

// String returns the state in words.
func (s VerifierState) String() string {
	switch s {
	case VerifierCatchingUp:
		return "catching up"
	case VerifierFresh:
		return "fresh"
	}
	return "stale"
}

// VerifierStats are figures about a Verifier. The counters begin at its start.
type VerifierStats struct {
	State VerifierState
	Age   time.Duration // the age of what the feed has reported; 0 before the first beat

	Accepted            uint64 // calls that accepted a token without a question
	Rejected            uint64 // calls that rejected a token, with or without a question
	Asked               uint64 // calls that asked Pawl
	Unavailable         uint64 // calls that failed because Pawl was unreachable
	AcceptedUnreachable uint64 // calls that accepted a token because of AcceptUnreachable

	Epochs       uint64 // times that the feed began, also after a gap
	Beats        uint64 // beats received
	Changes      uint64 // changes received
	FeedFailures uint64 // subscriptions that failed or were lost
	FeedError    error  // the error of the last one; nil while the feed works

	Entries int    // sessions and users whose changes are kept
	Resets  uint64 // times that there were more than MaxChanges of them
}

// verifierCounters are the counters of VerifierStats.
type verifierCounters struct {
	accepted                                                 stripedCounter
	rejected, asked, unavailable, acceptedUnreachable, beats atomic.Uint64
	epochs, changes, feedFailures                            atomic.Uint64
}

// count counts a call that failed with err.
func (c *verifierCounters) count(err error) {
	if errors.Is(err, ErrInvalidSession) {
		c.rejected.Add(1)
	} else {
		c.unavailable.Add(1)
	}
}

// stripedCounter is a counter for many goroutines. Calls with different hints rarely share a cache line.
type stripedCounter [16]struct {
	count atomic.Uint64
	_     [56]byte
}

func (c *stripedCounter) add(hint byte) { c[hint%16].count.Add(1) }

func (c *stripedCounter) sum() (total uint64) {
	for i := range c {
		total += c[i].count.Load()
	}
	return total
}

// Stats returns figures about the verifier, for metrics and logs.
func (v *Verifier) Stats() VerifierStats {
	table, c := v.table.Stats(), &v.counters
	s := VerifierStats{
		Accepted: c.accepted.sum(), Rejected: c.rejected.Load(), Asked: c.asked.Load(),
		Unavailable: c.unavailable.Load(), AcceptedUnreachable: c.acceptedUnreachable.Load(),
		Epochs: c.epochs.Load(), Beats: c.beats.Load(), Changes: c.changes.Load(), FeedFailures: c.feedFailures.Load(),
		Entries: table.Entries, Resets: table.Resets,
	}
	if err := v.failure.Load(); err != nil {
		s.FeedError = *err
	}
	known, now := v.known.Load(), v.config.Clock()
	if known == nil {
		return s
	}
	s.Age = known.age(now)
	switch {
	case !known.isFresh(now, v.config.Bound):
	case known.covers(now):
		s.State = VerifierFresh
	default:
		s.State = VerifierCatchingUp
	}
	return s
}
