package client

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/pawlauth/pawl/api"
)

// cache remembers who stands behind credentials, by their hash: a dump of
// memory shows no token of a caller who is gone.
type cache struct {
	mu      sync.Mutex // guards entries
	entries map[[sha256.Size]byte]entry
	most    int
}

type entry struct {
	caller api.SessionInfo
	until  time.Time
}

func newCache(most int) *cache {
	return &cache{entries: map[[sha256.Size]byte]entry{}, most: most}
}

// hash tells a token and a key apart: neither holds a NUL.
func (c credentials) hash() [sha256.Size]byte {
	return sha256.Sum256([]byte(c.bearer + "\x00" + c.key))
}

func (c *cache) get(who credentials, now time.Time) (api.SessionInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[who.hash()]
	return e.caller, ok && now.Before(e.until)
}

// put makes room where there is none: first by what is over among a few, then by any
// one, as Go's maps give them in no order.
func (c *cache) put(who credentials, caller api.SessionInfo, now, until time.Time) {
	const look = 8 // entries
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := 0
	for hash, e := range c.entries {
		if seen++; seen > look {
			break
		}
		if !now.Before(e.until) {
			delete(c.entries, hash)
		}
	}
	for hash := range c.entries {
		if len(c.entries) < c.most {
			break
		}
		delete(c.entries, hash)
	}
	c.entries[who.hash()] = entry{caller, until}
}
