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

// recent is what the node has read or done a short while ago, for checks that
// may be a bounded time behind. A nil *recent knows nothing: every check reads
// the row.
//
// What the node knows to be old stays old: a generation is never replaced by an
// earlier one, and the end of a session by nothing, for longer than a read that
// began before it can take.
type recent struct {
	bound time.Duration
	node  string // tells this node's words apart from the others'

	mu     sync.Mutex // guards what follows
	rows   map[token.SessionID]known
	spoilt time.Time // what began before it is too old to be used
	swept  time.Time // when entries that are over were last removed
	dirty  []token.SessionID
	wake   chan struct{} // holds one when dirty has something for the notifier
}

// known is one session: as it was at a time, or that it has ended.
type known struct {
	live  authority.SessionWithUser
	ended bool
	at    time.Time // when the read or the step began
	stale bool      // another node has changed it since: only the generation counts
}

const (
	mostRecent = 100_000 // sessions that are kept
	keepEnded  = 4 * stepTimeout
)

func newRecent(bound time.Duration) *recent {
	return &recent{bound: bound, node: rand.Text(), rows: make(map[token.SessionID]known), wake: make(chan struct{}, 1)}
}

func (r *recent) now() time.Time {
	if r == nil {
		return time.Time{}
	}
	return time.Now()
}

// get returns what is known of a session, if that is recent enough.
func (r *recent) get(id token.SessionID) (live authority.SessionWithUser, ok bool, err error) {
	if r == nil {
		return live, false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.rows[id]
	switch {
	case ok && k.ended:
		return live, true, fault.ErrNotFound
	case !ok || k.stale || time.Since(k.at) >= r.bound:
		return live, false, nil
	}
	return k.live, true, nil
}

// learn takes in the outcome of a read that began at a time, and returns the
// outcome, or what is known to have come after it.
func (r *recent) learn(id token.SessionID, live authority.SessionWithUser, err error, begun time.Time) (authority.SessionWithUser, error) {
	if r == nil || err != nil && !errors.Is(err, fault.ErrNotFound) {
		return live, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.merge(id, known{live: live, ended: err != nil, at: begun})
	if k.ended {
		return authority.SessionWithUser{}, fault.ErrNotFound
	}
	return k.live, nil
}

// merge keeps the later of what is known and what is new, and returns it.
func (r *recent) merge(id token.SessionID, next known) known {
	k, there := r.rows[id]
	if there && (k.ended || !next.ended && k.live.Session.Generation > next.live.Session.Generation) {
		return k
	}
	next.stale = next.at.Before(r.spoilt)
	r.sweep()
	if there || len(r.rows) < mostRecent {
		r.rows[id] = next
	}
	return next
}

// sweep lets go of what no read under way can contradict any more.
func (r *recent) sweep() {
	if time.Since(r.swept) < keepEnded {
		return
	}
	r.swept = time.Now()
	for id, k := range r.rows {
		if time.Since(k.at) > max(r.bound, keepEnded) {
			delete(r.rows, id)
		}
	}
}

// put takes in a session that this node has moved by a step that began at a
// time, and has the others told. The answer may have come long after the commit,
// and another node may have ended the session meanwhile.
func (r *recent) put(live authority.SessionWithUser, begun time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.merge(live.Session.ID, known{live: live, at: begun})
	r.tell(live.Session.ID)
}

// end takes in that this node has ended sessions, and has the others told.
func (r *recent) end(ids []token.SessionID) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.merge(id, known{ended: true, at: time.Now()})
	}
	r.tell(ids...)
}

// tell is called with the lock held.
func (r *recent) tell(ids ...token.SessionID) {
	if len(r.dirty) < mostRecent {
		r.dirty = append(r.dirty, ids...)
	}
	select {
	case r.wake <- struct{}{}:
	default: // the notifier is awake already
	}
}

// expire makes sessions too old to be used: these, or all if there are none.
func (r *recent) expire(ids ...token.SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.spoil(id)
	}
	if len(ids) == 0 {
		r.spoilt = time.Now() // for reads under way too
		for id := range r.rows {
			r.spoil(id)
		}
	}
}

func (r *recent) spoil(id token.SessionID) {
	if k, there := r.rows[id]; there {
		k.stale = true
		r.rows[id] = k
	}
}

// expireAll makes all of it too old to be used, here and on the other nodes: a
// user has changed, who stands beside each session.
func (r *recent) expireAll() {
	if r == nil {
		return
	}
	r.expire()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(token.SessionID{})
}
