package sqlite

import (
	"sync"
	"sync/atomic"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// memory is what the process knows of its file. An entry is put or dropped
// after the commit that changed it and before the caller hears of it. What is
// not there is read from the file without the lock, and kept only if nothing
// near it changed meanwhile: a read that began before a commit cannot bring
// back what the commit replaced.
//
// Sessions that the step log speaks of are always here: the log is over the
// session's row, and only memory has the two together.
type memory struct {
	sessions [shards]shard // an id is random, so any byte picks a shard
	count    atomic.Int64  // sessions
	whole    atomic.Bool   // all sessions of the file are here
	users    cache[int64, *authority.User]
	keys     cache[authority.APIKeyHash, authority.APIKey]
}

const shards = 256

// shard is a part of the sessions: all whose id begins with one byte.
type shard struct {
	mu    sync.RWMutex // guards what follows
	table table
	drops uint64 // one more at each drop
}

func newMemory() *memory { return new(memory) }

func (m *memory) shard(id *token.SessionID) *shard { return &m.sessions[id[0]] }

// peek returns what memory has of a session.
func (m *memory) peek(id *token.SessionID) (entry, bool) {
	s := m.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.get(id)
}

// session returns a session, which load finds if it is not there yet.
func (m *memory) session(id token.SessionID, load func() (authority.Session, error)) (authority.Session, error) {
	whole := m.whole.Load() // before the look, which a step may follow
	before := m.drops(&id)
	if e, ok := m.peek(&id); ok {
		return e.unpack(), nil
	}
	if whole {
		return authority.Session{}, fault.ErrNotFound
	}
	read, err := load()
	if err != nil {
		return read, err
	}
	m.fill(read, before)
	return read, nil
}

func (m *memory) drops(id *token.SessionID) uint64 {
	s := m.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.drops
}

// fill keeps a session that was read from the file after drops was before,
// unless memory knows it, and then better. It returns false if one was dropped
// since: it may be this one.
func (m *memory) fill(read authority.Session, before uint64) bool {
	e := pack(read)
	s := m.shard(&e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops != before {
		return false
	}
	if _, ok := s.table.get(&e.id); !ok {
		s.table.put(&e)
		m.grown(m.count.Add(1))
	}
	return true
}

func (m *memory) put(e *entry) {
	s := m.shard(&e.id)
	s.mu.Lock()
	added := s.table.put(e)
	s.mu.Unlock()
	if added {
		m.grown(m.count.Add(1))
	}
}

// reserve makes room for sessions in an empty memory, which saves growing.
func (m *memory) reserve(sessions int) {
	for i := range m.sessions {
		m.sessions[i].table.resize(16 + sessions/shards*5/4)
	}
}

func (m *memory) drop(id token.SessionID) {
	s := m.shard(&id)
	s.mu.Lock()
	if s.table.drop(&id) {
		m.grown(m.count.Add(-1))
	}
	s.drops++
	s.mu.Unlock()
}

func (m *memory) forget(g *removed) {
	for _, id := range g.sessions {
		m.drop(id)
	}
	for _, hash := range g.keys {
		m.keys.drop(hash)
	}
}
