package sessionlog

import (
	"maps"
	"sync"
	"sync/atomic"
)

// epochs has the users whose sessions ended all at once, until all of those sessions are removed. A session of such a
// user lives only if its epoch is at least the user's lowest live one.
type epochs struct {
	count  atomic.Int64 // number of users, so that a check takes no lock while there are none
	mu     sync.RWMutex
	lowest map[int64]uint32 // guarded by mu; the lowest live epoch of each user
}

// live reports whether the session of an entry lives. When all sessions of a user end except one, the kept session
// moves to the new epoch. Apply first stores the new entry of the kept session, and then raises the user's lowest
// live epoch. A reader holds the lock of the entry's shard from reading the entry until live returns. While a reader
// has the old entry, Apply therefore waits for the lock and cannot raise the epoch, so the kept session never appears
// ended.
func (p *epochs) live(e *entry) bool {
	if p.count.Load() == 0 {
		return true
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return e.epoch >= p.lowest[e.user()]
}

// all returns a copy of the lowest live epochs.
func (p *epochs) all() map[int64]uint32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return maps.Clone(p.lowest)
}

// apply sets the lowest live epochs of users. The epoch 0 means that the sessions of all earlier epochs are removed.
func (p *epochs) apply(changed map[int64]uint32) {
	if len(changed) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for userID, epoch := range changed {
		if epoch == 0 {
			delete(p.lowest, userID)
		} else {
			p.lowest[userID] = epoch
		}
	}
	p.count.Store(int64(len(p.lowest)))
}
