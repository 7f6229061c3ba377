package sqlite

import (
	"sync"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/token"
)

// memory is what the process knows of its file. An entry is put or dropped
// after the commit that changed it and before the caller hears of it. What is
// not there is read from the file without the lock, and kept only if nothing in
// its table changed meanwhile: a read that began before a commit cannot bring
// back what the commit replaced.
type memory struct {
	sessions [shards]table[token.SessionID, entry] // an id is random, so any byte picks a shard
	users    table[int64, *authority.User]
	keys     table[authority.KeyHash, authority.Key]
}

const shards = 256

func newMemory() *memory { return new(memory) }

// entry is a session in 48 bytes; times fit 32 bits until 2106.
type entry struct {
	userID                                      int64
	generation                                  uint32
	created, refreshed, previous, expires, ends uint32
	retryKey                                    authority.RetryKey
}

func pack(s authority.Session) entry {
	return entry{s.UserID, s.Generation, uint32(s.Created), uint32(s.Refreshed), uint32(s.Previous),
		uint32(s.Expires), uint32(s.Ends), s.RetryKey}
}

func (e entry) unpack(id token.SessionID) authority.Session {
	return authority.Session{ID: id, UserID: e.userID, Generation: e.generation, Created: int64(e.created),
		Refreshed: int64(e.refreshed), Previous: int64(e.previous), Expires: int64(e.expires), Ends: int64(e.ends), RetryKey: e.retryKey}
}

func (m *memory) shard(id token.SessionID) *table[token.SessionID, entry] {
	return &m.sessions[id[0]]
}

func (m *memory) session(id token.SessionID, load func() (authority.Session, error)) (authority.Session, error) {
	e, err := m.shard(id).get(id, func() (entry, error) {
		s, err := load()
		return pack(s), err
	})
	return e.unpack(id), err
}

func (m *memory) putSession(s authority.Session) { m.shard(s.ID).put(s.ID, pack(s)) }

func (m *memory) forget(g removed) {
	for _, id := range g.sessions {
		m.shard(id).drop(id)
	}
	for _, hash := range g.keys {
		m.keys.drop(hash)
	}
}

// clear forgets all of it.
func (m *memory) clear() {
	for i := range m.sessions {
		m.sessions[i].clear()
	}
	m.users.clear()
	m.keys.clear()
}

// table is a map with a lock.
type table[K comparable, V any] struct {
	mu      sync.RWMutex // guards what follows
	rows    map[K]V
	changes uint64 // one more at each put and drop
}

// get returns the value of k, which load finds if it is not there yet.
func (t *table[K, V]) get(k K, load func() (V, error)) (V, error) {
	t.mu.RLock()
	v, ok := t.rows[k]
	before := t.changes
	t.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes == before {
		t.set(k, v)
	}
	return v, nil
}

func (t *table[K, V]) clear() {
	t.mu.Lock()
	clear(t.rows)
	t.changes++
	t.mu.Unlock()
}

func (t *table[K, V]) put(k K, v V) {
	t.mu.Lock()
	t.set(k, v)
	t.changes++
	t.mu.Unlock()
}

func (t *table[K, V]) set(k K, v V) {
	if t.rows == nil {
		t.rows = make(map[K]V)
	}
	t.rows[k] = v
}

func (t *table[K, V]) drop(k K) {
	t.mu.Lock()
	delete(t.rows, k)
	t.changes++
	t.mu.Unlock()
}
