package revocation

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/token"
)

const (
	defaultMaxEntries = 4_000_000
	ended             = math.MaxUint32 // instead of the lowest live generation; no session ever gets there
	// slackSeconds allows for nodes whose clocks differ: the event may be later than a token whose iat is 5 seconds
	// after the event.
	slackSeconds = 5
	// keepLonger is added to the time for which an entry is kept, because a node with a slow clock accepts a token for
	// longer than the local clock suggests.
	keepLonger = time.Minute
)

// TableConfig configures a Table. Every field is optional.
type TableConfig struct {
	// MaxEntries is the maximum number of sessions and users in the table, of about 34 bytes each. A table that would
	// need more entries removes all of them and begins a new epoch, so that a verifier asks Pawl again. 0 is 4,000,000.
	MaxEntries int
	// Clock returns the time. Nil is time.Now. A table uses only the time between two readings.
	Clock func() time.Time
}

// Table stores which tokens the events of a feed have superseded or ended. A verifier looks every token up in it. The
// table has no pointers for the garbage collector to follow, and a lookup allocates nothing. It is safe for concurrent
// use.
//
// A table does not know how old its content is. Before a lookup, its owner checks the age of the last beat.
//
// Knowledge begins with a hello, which Begin applies. A table decides about a token only if the token was issued after
// that hello, or if Pawl has confirmed the token since. Check returns Ask for all other tokens.
type Table struct {
	config TableConfig
	start  time.Time

	sessions index[token.SessionID, uint32] // the lowest live generation
	users    index[int64, userMark]
	entries  atomic.Int64 // in both indexes

	// A new epoch is stored in this order: issuedAfter becomes the maximum, epoch becomes the new stamp, the entries
	// are removed, and issuedAfter becomes its new value. Check reads in the opposite order.
	stamp       atomic.Uint64 // counts epochs and marks of users
	epoch       atomic.Uint64 // the stamp of the last epoch
	issuedAfter atomic.Int64  // tokens issued after this Unix second need no confirmation
	maxLife     atomic.Int64  // seconds

	mu       sync.Mutex // serialises writers, and guards the fields below
	begun    int64      // the server time of Begin: a Unix second
	resets   atomic.Uint64
	nextScan int // the shard for the next Sweep
}

// userMark is an event about all tokens of a user.
type userMark struct {
	stamp  Stamp
	second int64 // Unix
}

// Stamp is a moment in the order of a table's events. The zero Stamp is before every event.
type Stamp uint64

// Token has the claims of a verified token that Check needs.
type Token struct {
	Session    token.SessionID
	Generation uint32
	UserID     int64
	ActorID    int64 // the user who acts for UserID, or 0; a change of either may end the token
	IssuedAt   int64 // Unix seconds
	Expires    int64 // Unix seconds
	// Confirmed is the result of Table.Now before the last question that Pawl answered with yes for this token. It is
	// zero if there was none.
	Confirmed Stamp
}

// Verdict is the result of Check.
type Verdict int

// The verdicts.
const (
	Ask  Verdict = iota // the table cannot decide; ask Pawl
	Live                // neither superseded nor ended
	Dead                // superseded or ended
)

// NewTable returns an empty table, whose Check returns Ask for every token until Begin is called.
func NewTable(config TableConfig) *Table {
	if config.MaxEntries == 0 {
		config.MaxEntries = defaultMaxEntries
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	t := &Table{config: config, start: config.Clock()}
	t.sessions.seed, t.users.seed = maphash.MakeSeed(), maphash.MakeSeed()
	t.sessions.entries, t.users.entries = &t.entries, &t.entries
	t.stamp.Store(1) // later than the zero Stamp
	t.issuedAfter.Store(math.MaxInt64)
	t.epoch.Store(math.MaxUint64)
	return t
}

// Begin begins a new epoch, because events may be missing before this hello. All entries are removed: a failover of the
// database may have taken a rotation back, so that an old entry would reject a good token. maxTokenLife is the longest
// life of a token; entries are kept that long.
func (t *Table) Begin(serverTime time.Time, maxTokenLife time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.beginEpoch()
	t.maxLife.Store(int64((maxTokenLife + time.Second - 1) / time.Second))
	t.begun = serverTime.Unix()
	t.issuedAfter.Store(t.begun + slackSeconds)
}

// beginEpoch removes all entries. No token passes without a confirmation until issuedAfter is set.
func (t *Table) beginEpoch() {
	t.issuedAfter.Store(math.MaxInt64)
	t.epoch.Store(t.stamp.Add(1))
	t.sessions.clear()
	t.users.clear()
}

// Beat applies the time of a beat. It ends the exceptional state after the table was full. The server time of Begin may
// be later than that of the beat, because the clock of the server was set back. Tokens of both times then need a
// confirmation.
func (t *Table) Beat(serverTime time.Time) {
	if t.issuedAfter.Load() != math.MaxInt64 || t.epoch.Load() == math.MaxUint64 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.issuedAfter.Store(max(serverTime.Unix(), t.begun) + slackSeconds)
}

// Apply applies one change of a revoked event.
func (t *Table) Apply(c Change) {
	if c.Session != (token.SessionID{}) {
		t.ApplySession(c.Session, c.Generation)
	} else {
		t.ApplyUser(c.UserID, c.Before)
	}
}

// ApplySession applies the event that tokens of a session below a generation are superseded. Generation 0 means that
// the session has ended.
func (t *Table) ApplySession(id token.SessionID, generation uint32) {
	if generation == 0 {
		generation = ended
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.makeRoom()
	now := t.seconds()
	t.sessions.put(id, now, t.until(now), func(lowest *uint32) { *lowest = max(*lowest, generation) })
}

// Reject applies Pawl's no to a question about a token. Later tokens of the session may be live.
func (t *Table) Reject(id token.SessionID, generation uint32) {
	if generation < ended {
		generation++
	}
	t.ApplySession(id, generation)
}

// ApplyUser applies the event that tokens of a user issued up to a Unix second may have ended. Check returns Ask for
// tokens issued up to slackSeconds later, until Pawl confirms them.
func (t *Table) ApplyUser(userID, second int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.makeRoom()
	now := t.seconds()
	stamp := Stamp(t.stamp.Add(1))
	t.users.put(userID, now, t.until(now), func(mark *userMark) {
		mark.stamp = stamp
		mark.second = max(mark.second, second)
	})
}

// makeRoom begins a new epoch if the table is full of entries that are still needed.
func (t *Table) makeRoom() {
	if t.entries.Load() < int64(t.config.MaxEntries) {
		return
	}
	now := t.seconds()
	for shard := range shards {
		t.sessions.sweep(shard, now)
		t.users.sweep(shard, now)
	}
	if t.entries.Load() >= int64(t.config.MaxEntries) {
		t.resets.Add(1)
		t.beginEpoch()
	}
}

// Now returns the current stamp. Call it before a question to Pawl; if the answer is yes, it is Token.Confirmed.
func (t *Table) Now() Stamp { return Stamp(t.stamp.Load()) }

// Check decides about a token whose signature and times are valid.
func (t *Table) Check(k Token) Verdict {
	lowest, _ := t.sessions.get(k.Session)
	if k.Generation < lowest || lowest == ended {
		return Dead
	}
	marked := t.marked(k.UserID, k) || k.ActorID != 0 && t.marked(k.ActorID, k)
	switch epoch := Stamp(t.epoch.Load()); {
	case k.Expires-k.IssuedAt > t.maxLife.Load(): // entries about it may have been removed
		return Ask
	case marked:
		return Ask
	case k.Confirmed >= epoch, k.IssuedAt > t.issuedAfter.Load():
		return Live
	}
	return Ask
}

// marked reports whether a user was changed after a token was issued, and Pawl has not confirmed the token since.
func (t *Table) marked(userID int64, k Token) bool {
	mark, ok := t.users.get(userID)
	return ok && k.IssuedAt <= mark.second+slackSeconds && k.Confirmed < mark.stamp
}

// Sweep frees the memory of the entries of one shard that are no longer needed. Its owner calls it with each beat.
func (t *Table) Sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.seconds()
	t.sessions.sweep(t.nextScan, now)
	t.users.sweep(t.nextScan, now)
	t.nextScan = (t.nextScan + 1) % shards
}

// seconds returns the time since the table was created, from 1 on. The monotonic clock may stop while the machine is
// suspended, so an entry is never removed too early.
func (t *Table) seconds() uint32 {
	return uint32(max(0, t.config.Clock().Sub(t.start)/time.Second)) + 1
}

// until returns the last second for which an entry that is stored now must be kept.
func (t *Table) until(now uint32) uint32 {
	return now + uint32(min(t.maxLife.Load(), math.MaxInt32)) + uint32(keepLonger/time.Second)
}

// TableStats are figures about a table.
type TableStats struct {
	Entries int    // sessions and users
	Resets  uint64 // times that the table was full, and began a new epoch
}

// Stats returns figures about the table.
func (t *Table) Stats() TableStats {
	return TableStats{Entries: int(t.entries.Load()), Resets: t.resets.Load()}
}
