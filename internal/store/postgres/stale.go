package postgres

import (
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// staleCache keeps the sessions read or changed by the node a short time ago, for checks that accept a state of bounded
// age (--verify-staleness). A nil *staleCache is always empty, so that every check reads the row.
//
// The cache never goes back: a generation is replaced by later ones only, and an ended session stays ended for longer
// than any read begun before the end can take.
type staleCache struct {
	maxAge time.Duration
	node   string // distinguishes this node's broadcasts from the others

	mu            sync.Mutex // guards the following fields
	entries       map[token.SessionID]staleEntry
	invalidatedAt time.Time     // reads begun before it are not used
	sweptAt       time.Time     // when expired entries were last removed
	unsent        []string      // what to broadcast: the names of sessions, and userName for users
	wake          chan struct{} // wakes the broadcaster; holds at most one value
}

// staleEntry is a session at a time, or the fact that it has ended.
type staleEntry struct {
	session authority.SessionWithUser
	ended   bool
	at      time.Time // when the read or the change began
	invalid bool      // the session has changed since, so only its generation counts
}

const (
	maxStaleEntries = 100_000
	keepEnded       = 4 * bulkTimeout
)

func newStaleCache(maxAge time.Duration) *staleCache {
	return &staleCache{
		maxAge:  maxAge,
		node:    rand.Text(),
		entries: make(map[token.SessionID]staleEntry),
		wake:    make(chan struct{}, 1),
	}
}

// get returns a session, or ErrNotFound for an ended one. found is false if the cache cannot answer.
func (c *staleCache) get(id token.SessionID) (session authority.SessionWithUser, found bool, err error) {
	if c == nil {
		return session, false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[id]
	switch {
	case ok && entry.ended:
		return session, true, fault.ErrNotFound
	case !ok || entry.invalid || time.Since(entry.at) >= c.maxAge:
		return session, false, nil
	}
	return entry.session, true, nil
}

// merge adds the result of a read, and returns the later one of the result and the entry.
func (c *staleCache) merge(
	id token.SessionID, session authority.SessionWithUser, err error, begun time.Time,
) (authority.SessionWithUser, error) {
	if c == nil || err != nil && !errors.Is(err, fault.ErrNotFound) {
		return session, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.mergeEntry(id, staleEntry{session: session, ended: err != nil, at: begun})
	if entry.ended {
		return authority.SessionWithUser{}, fault.ErrNotFound
	}
	return entry.session, nil
}

// mergeEntry keeps the later one of an entry and its replacement, and returns it. The caller holds c.mu.
func (c *staleCache) mergeEntry(id token.SessionID, next staleEntry) staleEntry {
	entry, ok := c.entries[id]
	if ok && (entry.ended || !next.ended && entry.session.Session.Generation > next.session.Session.Generation) {
		return entry
	}
	next.invalid = next.at.Before(c.invalidatedAt)
	c.sweep()
	if ok || len(c.entries) < maxStaleEntries {
		c.entries[id] = next
	}
	return next
}

// sweep removes the entries that no current read can contradict. The caller holds c.mu.
func (c *staleCache) sweep() {
	if time.Since(c.sweptAt) < keepEnded {
		return
	}
	c.sweptAt = time.Now()
	for id, entry := range c.entries {
		if time.Since(entry.at) > max(c.maxAge, keepEnded) {
			delete(c.entries, id)
		}
	}
}

// addRotated adds a session rotated by this node, and broadcasts it. The age of the entry counts from when the rotation
// began, because another node may have ended the session between the commit and its answer.
func (c *staleCache) addRotated(session authority.SessionWithUser, begun time.Time) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mergeEntry(session.Session.ID, staleEntry{session: session, at: begun})
	c.queueBroadcast(session.Session.ID.String())
}

// addEnded adds a session ended by this node, and broadcasts it.
func (c *staleCache) addEnded(id token.SessionID) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mergeEntry(id, staleEntry{ended: true, at: time.Now()})
	c.queueBroadcast(id.String())
}

// queueBroadcast hands the name of a session or a user to the broadcaster. The caller holds c.mu.
func (c *staleCache) queueBroadcast(name string) {
	if len(c.unsent) < maxStaleEntries {
		c.unsent = append(c.unsent, name)
	}
	select {
	case c.wake <- struct{}{}:
	default: // the broadcaster is already awake
	}
}

// invalidate makes the next check of a session read its row.
func (c *staleCache) invalidate(id token.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry, ok := c.entries[id]; ok {
		entry.invalid = true
		c.entries[id] = entry
	}
}

// invalidateAll makes the next check of every session read its row, even if a read of it has begun already.
func (c *staleCache) invalidateAll() {
	c.invalidateIf(func(*authority.Session) bool { return true })
}

// invalidateUser is invalidateAll for the sessions of a user.
func (c *staleCache) invalidateUser(userID int64) {
	c.invalidateIf(func(s *authority.Session) bool { return s.UserID == userID })
}

// invalidateIf invalidates the entries of matching sessions. Reads in progress are not used for any session, because it
// is unknown which sessions they will return.
func (c *staleCache) invalidateIf(match func(*authority.Session) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invalidatedAt = time.Now()
	for id, entry := range c.entries {
		if match(&entry.session.Session) {
			entry.invalid = true
			c.entries[id] = entry
		}
	}
}

// userChanged invalidates the entries of a user's sessions, here and on the other nodes. Each of them has a copy of the
// user, and the change may have ended the sessions.
func (c *staleCache) userChanged(userID int64) {
	if c == nil {
		return
	}
	c.invalidateUser(userID)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queueBroadcast(userName(userID))
}
