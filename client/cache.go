package client

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/clock"
)

// cache maps credentials to their caller, for Middleware. The keys are hashes, so that a memory dump does not reveal
// the credentials of past requests.
type cache struct {
	mu      sync.Mutex // guards entries
	entries map[[sha256.Size]byte]entry
	maxSize int
}

type entry struct {
	caller api.SessionInfo
	added  time.Time
	maxAge time.Duration
}

func (e entry) expired(now time.Time) bool { return clock.Elapsed(e.added, now) >= e.maxAge }

func newCache(maxSize int) *cache {
	return &cache{entries: map[[sha256.Size]byte]entry{}, maxSize: maxSize}
}

// hash returns the key of the credentials. The NUL separates the two parts, because neither can contain one.
func (c credentials) hash() [sha256.Size]byte {
	return sha256.Sum256([]byte(c.bearer + "\x00" + c.apiKey))
}

// get returns the cached caller, unless its entry has expired.
func (c *cache) get(sent credentials, now time.Time) (api.SessionInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[sent.hash()]
	return e.caller, ok && !e.expired(now)
}

// put adds an entry. It examines a few other entries and evicts the expired ones. If the cache is still full, it evicts
// arbitrary entries, because maps iterate in random order.
func (c *cache) put(sent credentials, e entry) {
	const maxExamined = 8
	c.mu.Lock()
	defer c.mu.Unlock()
	examined := 0
	for hash, other := range c.entries {
		if examined == maxExamined {
			break
		}
		examined++
		if other.expired(e.added) {
			delete(c.entries, hash)
		}
	}
	for hash := range c.entries {
		if len(c.entries) < c.maxSize {
			break
		}
		delete(c.entries, hash)
	}
	c.entries[sent.hash()] = e
}
