package sqlite

import (
	"hash/maphash"
	"sync"
)

// The bounds of the caches. A user takes about 300 bytes, an API key about 200, and the extras of a session from 100 to
// 1,200.
const (
	maxCachedUsers   = 1 << 17
	maxCachedAPIKeys = 1 << 17
	maxCachedExtras  = 1 << 15
)

// cache has recently used values from the file. It is never stale: the committer updates it after each commit, before
// any caller gets a result, and a reader adds a value only if no commit has changed the shard since the read began.
//
// Each shard has two maps. New values go to recent. When recent is full, it becomes previous, and the values of the old
// previous map are dropped. A value in previous is copied back to recent when it is used. So a shard drops the values
// not used for a long time, and the use of a value in recent only needs the read lock.
type cache[K comparable, V any] struct {
	seed      maphash.Seed
	maxRecent int // in each shard
	shards    [cacheShards]cacheShard[K, V]
}

const cacheShards = 16

type cacheShard[K comparable, V any] struct {
	mu       sync.RWMutex // guards the fields below
	recent   map[K]V
	previous map[K]V
	changes  uint64 // number of calls of put, remove and clear
}

// newCache returns a cache of at most limit values.
func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{seed: maphash.MakeSeed(), maxRecent: limit / cacheShards / 2}
}

func (c *cache[K, V]) shard(k K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

// get returns the value of k. If the cache does not have it, get reads and adds it.
func (c *cache[K, V]) get(k K, read func() (V, error)) (V, error) {
	s := c.shard(k)
	s.mu.RLock()
	v, found := s.recent[k]
	if found {
		s.mu.RUnlock()
		return v, nil
	}
	v, found = s.previous[k]
	changes := s.changes
	s.mu.RUnlock()
	if !found {
		var err error
		if v, err = read(); err != nil {
			return v, err
		}
	}
	c.addIfUnchanged(k, v, changes)
	return v, nil
}

// addIfUnchanged adds a value if changes is still the shard's counter: no commit has changed the shard since the read.
func (c *cache[K, V]) addIfUnchanged(k K, v V, changes uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == changes {
		c.add(s, k, v)
	}
}

// put sets the value of k after a commit changed it.
func (c *cache[K, V]) put(k K, v V) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	c.add(s, k, v)
}

func (c *cache[K, V]) add(s *cacheShard[K, V], k K, v V) {
	if len(s.recent) >= c.maxRecent {
		s.previous = s.recent
		s.recent = nil
	}
	if s.recent == nil {
		s.recent = map[K]V{}
	}
	s.recent[k] = v
}

// remove removes the value of k after a commit deleted it.
func (c *cache[K, V]) remove(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.recent, k)
	delete(s.previous, k)
}

// clear removes all values.
func (c *cache[K, V]) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.changes++
		s.recent, s.previous = nil, nil
		s.mu.Unlock()
	}
}
