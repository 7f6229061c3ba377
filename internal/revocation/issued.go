package revocation

import (
	"context"
	"time"
)

const (
	// saveEvery is how often KeepIssued saves the highest iat. After a crash, the saved one is older by saveEvery and
	// the duration of a commit, which is less than slackSeconds.
	saveEvery = 3 * time.Second
	// saveTimeout limits the last save, when the store closes.
	saveTimeout = time.Second
)

// Issued notes that a token with an iat of this second may exist. A hello has the highest such second, so that a
// verifier asks about the tokens from before a step back of the wall clock.
func (f *Feed) Issued(second int64) {
	if f == nil {
		return
	}
	for {
		highest := f.issued.Load()
		if second <= highest || f.issued.CompareAndSwap(highest, second) {
			return
		}
	}
}

// KeepIssued saves the highest second of Issued while it rises, and again when ctx ends. saved is the second in the
// store at the start.
func (f *Feed) KeepIssued(ctx context.Context, saved int64, save func(ctx context.Context, second int64) error) {
	if f == nil {
		return
	}
	f.Issued(saved)
	each := time.NewTicker(saveEvery)
	defer each.Stop()
	for {
		last := false
		select {
		case <-each.C:
		case <-ctx.Done():
			last = true
		}
		if second := f.issued.Load(); second > saved {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
			if err := save(limited, second); err == nil { // else the next save includes it
				saved = second
			}
			cancel()
		}
		if last {
			return
		}
	}
}

// issuedUntil returns a time before which every token was issued, by its iat. The caller holds f.mu.
func (f *Feed) issuedUntil() time.Time {
	if until := time.Unix(f.issued.Load(), 0); until.After(f.now()) {
		return until
	}
	return f.now()
}
