package sqlite

import (
	"hash/maphash"
	"sync"
)

// The bounds of the caches. A user takes about 300 bytes, and a key about 200.
const (
	maxCachedUsers   = 1 << 17
	maxCachedAPIKeys = 1 << 17
)

// cache has rows that were read from the file. The committer changes it after each commit, and before any caller is
// answered. A reader adds a row only if nothing changed since before it read: so a slow read cannot bring a row back
// that a commit replaced.
//
// Each shard has two generations. Rows are added to the young one. When it is full, it takes the place of the old one,
// whose rows are dropped, except those that were used meanwhile: they are young again.
type cache[K comparable, V any] struct {
	seed     maphash.Seed
	maxYoung int
	shards   [cacheShards]cacheShard[K, V]
}

const cacheShards = 16

type cacheShard[K comparable, V any] struct {
	mu      sync.RWMutex // guards the fields below
	young   map[K]V
	old     map[K]V
	changes uint64 // how often put, remove or clear was called
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{seed: maphash.MakeSeed(), maxYoung: limit / cacheShards / 2}
}

func (c *cache[K, V]) shard(k K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

// get returns the value of k, which read finds if the cache does not have it.
func (c *cache[K, V]) get(k K, read func() (V, error)) (V, error) {
	s := c.shard(k)
	s.mu.RLock()
	v, isYoung := s.young[k]
	isOld := false
	if !isYoung {
		v, isOld = s.old[k]
	}
	before := s.changes
	s.mu.RUnlock()
	if isYoung {
		return v, nil
	}
	if !isOld {
		var err error
		if v, err = read(); err != nil {
			return v, err
		}
	}
	c.addIfUnchanged(k, v, before)
	return v, nil
}

// addIfUnchanged adds a value unless the shard has changed since it had the given number of changes.
func (c *cache[K, V]) addIfUnchanged(k K, v V, changes uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == changes {
		c.add(s, k, v)
	}
}

// put sets the value of k, which a commit changed.
func (c *cache[K, V]) put(k K, v V) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	c.add(s, k, v)
}

func (c *cache[K, V]) add(s *cacheShard[K, V], k K, v V) {
	if len(s.young) >= c.maxYoung {
		s.old = s.young
		s.young = nil
	}
	if s.young == nil {
		s.young = map[K]V{}
	}
	s.young[k] = v
}

// remove removes the value of k, which a commit deleted.
func (c *cache[K, V]) remove(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.young, k)
	delete(s.old, k)
}

// clear removes all values.
func (c *cache[K, V]) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.changes++
		s.young, s.old = nil, nil
		s.mu.Unlock()
	}
}
