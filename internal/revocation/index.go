package revocation

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	shards    = 256
	shardBits = 8 // shards is 1 << shardBits
)

// index maps keys to values. It is divided into shards with a lock each. A shard is an open-addressed hash table
// without pointers, which is between 64 % and 80 % full, or smaller than minSlots.
type index[K comparable, V any] struct {
	seed    maphash.Seed
	entries *atomic.Int64 // goes up and down with the number of entries
	shards  [shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu    sync.RWMutex
	slots []slot[K, V]
	used  int
	_     [24]byte // the locks of two shards share no cache line
}

// slot is an entry. A slot whose until is 0 is empty. An entry is never removed alone, only when its shard is rebuilt.
type slot[K comparable, V any] struct {
	key   K
	value V
	until uint32 // the last second for which the entry is needed
}

const minSlots = 8

// find returns the shard of a key, and the hash that selects the slot.
func (x *index[K, V]) find(key K) (*shard[K, V], uint64) {
	hash := maphash.Comparable(x.seed, key)
	return &x.shards[hash>>(64-shardBits)], hash << shardBits
}

// seek returns the slot of a key, or the empty slot where the key belongs. There must be slots.
func (s *shard[K, V]) seek(key K, hash uint64) *slot[K, V] {
	high, _ := bits.Mul64(hash, uint64(len(s.slots)))
	for i := int(high); ; i++ {
		if i == len(s.slots) {
			i = 0
		}
		if e := &s.slots[i]; e.until == 0 || e.key == key {
			return e
		}
	}
}

// get returns the value of a key, or the zero value.
func (x *index[K, V]) get(key K) (value V, ok bool) {
	s, hash := x.find(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.used == 0 {
		return value, false
	}
	e := s.seek(key, hash)
	return e.value, e.until != 0
}

// put changes the value of a key, which is the zero value for a new key. The entry is needed until then.
func (x *index[K, V]) put(key K, now, until uint32, change func(*V)) {
	s, hash := x.find(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if (s.used+1)*5 > len(s.slots)*4 {
		x.rebuild(s, now)
	}
	e := s.seek(key, hash)
	if e.until == 0 {
		e.key = key
		s.used++
		x.entries.Add(1)
	}
	e.until = max(e.until, until)
	change(&e.value)
}

// rebuild gives a shard new slots without the entries that are no longer needed. One more entry fits in.
func (x *index[K, V]) rebuild(s *shard[K, V], now uint32) {
	old, was := s.slots, s.used
	s.used = 0
	for i := range old {
		if old[i].until >= now { // until is 0 in an empty slot, and now is at least 1
			s.used++
		}
	}
	s.slots = make([]slot[K, V], max(minSlots, (s.used+1)*100/64))
	for i := range old {
		if old[i].until >= now {
			_, hash := x.find(old[i].key)
			*s.seek(old[i].key, hash) = old[i]
		}
	}
	x.entries.Add(int64(s.used - was))
}

// sweep rebuilds a shard if more than a quarter of its entries are no longer needed.
func (x *index[K, V]) sweep(number int, now uint32) {
	s := &x.shards[number]
	s.mu.RLock()
	spent := 0
	for i := range s.slots {
		if until := s.slots[i].until; until != 0 && until < now {
			spent++
		}
	}
	due := spent*4 > s.used
	s.mu.RUnlock()
	if !due {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x.rebuild(s, now)
}

// clear removes all entries.
func (x *index[K, V]) clear() {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		x.entries.Add(-int64(s.used))
		s.slots, s.used = nil, 0
		s.mu.Unlock()
	}
}
