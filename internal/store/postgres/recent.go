package postgres

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/clock"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	maxRecent    = 100_000
	recentShards = 64
	// recentLife is how long a session is remembered after its row was read. The table keeps a change for longer.
	recentLife = time.Minute
)

// recentSessions is the memory of a node for checks that accept a state of bounded age (--verify-staleness). The node
// follows the changes of all nodes (follow.go), and its own ones apply at once. While the last successful poll is
// younger than the bound, a session in memory without a later change is as its row was at that poll. A nil
// *recentSessions remembers nothing.
type recentSessions struct {
	bound  time.Duration
	table  *revocation.Table
	polled atomic.Pointer[time.Time] // when the last successful poll began; nil between two epochs
	seed   maphash.Seed
	shards [recentShards]recentShard
}

// recentShard has two maps. When recent is full, it becomes previous, and the sessions of the old previous map are
// dropped.
type recentShard struct {
	mu       sync.RWMutex // guards the fields below
	recent   map[token.SessionID]recentSession
	previous map[token.SessionID]recentSession
}

// recentSession is a session as its row was after a moment.
type recentSession struct {
	session authority.SessionWithUser
	after   moment
}

// moment is a time before a read or a rotation, and the changes that this node had applied by then.
type moment struct {
	at    time.Time
	stamp revocation.Stamp
}

// newRecentSessions returns an empty memory, or nil if the bound is 0.
func newRecentSessions(bound time.Duration) *recentSessions {
	if bound == 0 {
		return nil
	}
	return &recentSessions{bound: bound, table: revocation.NewTable(revocation.TableConfig{}), seed: maphash.MakeSeed()}
}

// begin begins an epoch: every later change will be applied. Only reads that begin after it are used.
func (r *recentSessions) begin(polled time.Time) {
	if r == nil {
		return
	}
	// No token counts as issued after this time. So each session needs a read that began after begin.
	never := time.Unix(1<<40, 0)
	r.table.Begin(never, recentLife)
	r.polled.Store(&polled)
}

// end ends the epoch.
func (r *recentSessions) end() {
	if r != nil {
		r.polled.Store(nil)
	}
}

// beat notes that every change acknowledged before a poll began has been applied.
func (r *recentSessions) beat(polled time.Time) {
	if r != nil {
		r.polled.Store(&polled)
		r.table.Sweep()
	}
}

// fresh reports whether the last poll is younger than the bound.
func (r *recentSessions) fresh(now time.Time) bool {
	polled := r.polled.Load()
	return polled != nil && clock.Elapsed(*polled, now) < r.bound
}

func (r *recentSessions) shard(id token.SessionID) *recentShard {
	return &r.shards[maphash.Comparable(r.seed, id)%recentShards]
}

// get returns a session, or false if its row has to be read.
func (r *recentSessions) get(id token.SessionID) (session authority.SessionWithUser, ok bool) {
	if r == nil {
		return session, false
	}
	shard := r.shard(id)
	shard.mu.RLock()
	found, ok := shard.recent[id]
	if !ok {
		found, ok = shard.previous[id]
	}
	shard.mu.RUnlock()
	now := time.Now()
	if !ok || !r.fresh(now) || now.Sub(found.after.at) >= recentLife {
		return session, false
	}
	live := r.table.Check(revocation.Token{
		Session: id, Generation: found.session.Session.Generation, UserID: found.session.Session.UserID,
		Confirmed: found.after.stamp,
	}) == revocation.Live
	return found.session, live
}

// now returns the present moment. It is called before a read or a rotation begins.
func (r *recentSessions) now() moment {
	if r == nil {
		return moment{}
	}
	return moment{at: time.Now(), stamp: r.table.Now()}
}

// put remembers the result of a read or a rotation.
func (r *recentSessions) put(session authority.SessionWithUser, after moment) {
	if r == nil {
		return
	}
	id := session.Session.ID
	shard := r.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if len(shard.recent) >= maxRecent/recentShards/2 {
		shard.previous = shard.recent
		shard.recent = nil
	}
	if shard.recent == nil {
		shard.recent = map[token.SessionID]recentSession{}
	}
	shard.recent[id] = recentSession{session: session, after: after}
}

// rotated remembers a session rotated by this node.
func (r *recentSessions) rotated(session authority.SessionWithUser, after moment) {
	if r != nil {
		r.table.ApplySession(session.Session.ID, session.Session.Generation)
		r.put(session, after)
	}
}

// apply applies changes.
func (r *recentSessions) apply(changes []revocation.Change) {
	if r == nil {
		return
	}
	for _, c := range changes {
		if c.Session != (token.SessionID{}) {
			r.table.ApplySession(c.Session, c.Generation)
		} else {
			r.userChanged(c.UserID)
		}
	}
}

// ended applies the end of a session.
func (r *recentSessions) ended(id token.SessionID) {
	if r != nil {
		r.table.ApplySession(id, 0)
	}
}

// userChanged makes the next check of each session of a user read its row.
func (r *recentSessions) userChanged(userID int64) {
	if r != nil {
		r.table.ApplyUser(userID, 0)
	}
}
