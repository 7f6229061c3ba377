package revocation

import (
	"cmp"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// FeedConfig configures a Feed. Every field is optional.
type FeedConfig struct {
	// MaxTokenLife is the longest life of a token, for the hello. If 0, it is an hour.
	MaxTokenLife time.Duration
	// Heartbeat is the time between two beats. If 0, it is DefaultHeartbeat.
	Heartbeat time.Duration
	// RingSize is how many bytes of events the feed keeps for subscribers that resume or read slowly. If 0, it is
	// DefaultRingSize.
	RingSize int
	// MaxSubscribers is how many subscribers the feed accepts. If 0, it is DefaultMaxSubscribers.
	MaxSubscribers int
	// Remote means that other nodes make changes too. The store then reads the changes of all nodes, and calls Open,
	// Break and Beat. If false, every change passes through Publish, and the feed makes its own beats.
	Remote bool
	// Clock returns the time that tokens get as their iat. If nil, it is time.Now.
	Clock func() time.Time
}

// Defaults of a FeedConfig.
const (
	DefaultHeartbeat      = 200 * time.Millisecond
	DefaultRingSize       = 8 << 20
	DefaultMaxSubscribers = 2000
)

const (
	// writesPerSecond bounds the writes to all subscribers together, so that many subscribers do not slow refreshes
	// down. A subscriber that waits longer gets more events in one write. Each subscriber gets a write with each beat.
	writesPerSecond = 2000
	// minPause is the shortest time between two writes to a subscriber.
	minPause = 5 * time.Millisecond
	// idleLife is how long the feed keeps its events after the last subscriber has left, so that the subscriber can
	// resume.
	idleLife = 30 * time.Second
	// maxClockStep is how far the wall clock may be set between two beats before a new epoch begins.
	maxClockStep = time.Second
)

// Feed sends to its subscribers what was superseded or ended. A store calls Publish after each commit and before any
// caller of the commit gets its answer. A nil *Feed has no subscribers.
//
// A Feed keeps nothing while it has no subscribers. Publish then costs one atomic read.
type Feed struct {
	config FeedConfig
	active atomic.Bool   // whether Publish keeps events
	issued atomic.Int64  // see Issued
	demand chan struct{} // see Demand
	wanted chan struct{} // has a value once subscribers have something new
	stop   chan struct{} // closed by Close

	background sync.WaitGroup

	mu          sync.Mutex // guards the fields below
	open        bool       // whether every change arrives here
	closed      bool
	refuses     bool // see Refuse
	epoch       string
	base        time.Time // when the epoch began, with a monotonic reading
	wall        time.Time // what Clock returned at that time
	checked     time.Time // when checkClock last ran, and what Clock returned then
	checkedWall time.Time
	ring        ring
	sequence    uint64 // of the last event
	beats       uint64 // the number of beats so far
	beat        []byte // the latest beat
	beatAt      time.Time
	beatEnd     int64 // the position that a subscriber must have reached before the beat
	subscribers int
	idleSince   time.Time     // when the last subscriber left
	running     bool          // whether run runs
	wake        chan struct{} // closed when subscribers have something new, and replaced
	stats       FeedStats
}

// FeedStats are the figures of a feed.
type FeedStats struct {
	Subscribers int
	Events      uint64        // published, each counted once
	Bytes       uint64        // of the events, each counted once
	CutOffs     uint64        // subscribers that read too slowly
	Epochs      uint64        // begun
	BeatAge     time.Duration // the age of the latest beat; 0 without subscribers
}

// NewFeed returns a feed without subscribers.
func NewFeed(c FeedConfig) *Feed {
	c.MaxTokenLife = cmp.Or(c.MaxTokenLife, time.Hour)
	c.Heartbeat = cmp.Or(c.Heartbeat, DefaultHeartbeat)
	c.RingSize = cmp.Or(c.RingSize, DefaultRingSize)
	c.MaxSubscribers = cmp.Or(c.MaxSubscribers, DefaultMaxSubscribers)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Feed{
		config: c, open: !c.Remote, ring: ring{limit: c.RingSize},
		demand: make(chan struct{}, 1), wanted: make(chan struct{}, 1), stop: make(chan struct{}),
		wake: make(chan struct{}),
	}
}

// Active reports whether there are subscribers. A store does not need to collect changes for a feed that is not active.
func (f *Feed) Active() bool { return f != nil && f.active.Load() }

// Demand returns a channel that receives a value when a subscriber waits for Open or for a beat. Only a feed of many
// nodes needs it.
func (f *Feed) Demand() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.demand
}

// Heartbeat returns the time between two beats.
func (f *Feed) Heartbeat() time.Duration {
	if f == nil {
		return DefaultHeartbeat
	}
	return f.config.Heartbeat
}

// Second returns the second of the present time, for UserChanged.
func (f *Feed) Second() int64 {
	if f == nil {
		return time.Now().Unix()
	}
	return f.config.Clock().Unix()
}

// Publish sends the changes of a commit, and may change their elements. The commit must be visible to every question
// that begins after Publish.
func (f *Feed) Publish(changes []Change) {
	if !f.Active() || len(changes) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.open || f.epoch == "" {
		return
	}
	f.coverIssued(changes)
	for page := range slices.Chunk(changes, maxChanges) {
		f.sequence++
		id := EventID{Epoch: f.epoch, Sequence: f.sequence}
		before := f.ring.end()
		f.ring.append(f.sequence, len(page)*maxChangeSize+maxFrameSize, func(b []byte) []byte {
			return AppendRevoked(b, id, page)
		})
		f.stats.Events++
		f.stats.Bytes += uint64(f.ring.end() - before)
	}
	signal(f.wanted)
}

// coverIssued raises the second of each change of a user to that of Issued. If a wall clock was set back, the user may
// have a token with a later iat than the change, and a verifier must ask about that token too.
func (f *Feed) coverIssued(changes []Change) {
	issued := f.issued.Load()
	for i := range changes {
		if c := &changes[i]; c.UserID != 0 {
			c.Before = max(c.Before, issued)
		}
	}
}

// signal sends to a channel with room for one value, unless it has one already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Open begins an epoch: from now on, the changes of all nodes arrive.
func (f *Feed) Open() { f.setOpen(true) }

// Break ends the epoch because changes may be lost. There are no beats until Open is called.
func (f *Feed) Break() { f.setOpen(false) }

// Refuse makes Subscribe return ErrNone from now on, because the store cannot collect the changes of all nodes.
func (f *Feed) Refuse() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = true
}

func (f *Feed) setOpen(open bool) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = open
	f.endEpoch()
	if open && f.active.Load() {
		f.beginEpoch()
	}
	signal(f.wanted)
}

// Restart begins a new epoch, so that each subscriber asks about every token again. Call it when tokens have ended
// that no change names, such as those of a retired signing key.
func (f *Feed) Restart() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != "" {
		f.beginEpoch()
		signal(f.wanted)
	}
}

// beginEpoch begins an epoch. Each subscriber then gets a new hello. The caller holds f.mu.
func (f *Feed) beginEpoch() {
	f.endEpoch()
	f.epoch = rand.Text()[:13] // 65 bits
	f.base = time.Now()
	f.wall = f.config.Clock().Round(0)
	f.checked = f.base
	f.checkedWall = f.wall
	f.stats.Epochs++
}

// endEpoch drops the events of the epoch. The caller holds f.mu.
func (f *Feed) endEpoch() {
	f.epoch = ""
	f.ring.reset()
	f.sequence = 0
	f.beat = nil
	f.beatEnd = 0
}

// now returns the server time. It follows the monotonic clock, so that a step of the wall clock cannot make a beat look
// younger than it is. The caller holds f.mu.
func (f *Feed) now() time.Time { return f.wall.Add(time.Since(f.base)) }

// checkClock begins a new epoch if the wall clock has been set since the last call, because tokens get their iat from
// the wall clock. The caller holds f.mu.
func (f *Feed) checkClock() {
	if f.epoch == "" {
		return
	}
	now, wall := time.Now(), f.config.Clock().Round(0)
	step := wall.Sub(f.checkedWall) - now.Sub(f.checked)
	f.checked = now
	f.checkedWall = wall
	if step.Abs() > maxClockStep {
		f.beginEpoch()
	}
}

// Instant is a server time of one epoch.
type Instant struct {
	epoch string
	at    time.Time
}

// Now returns the present server time, for Beat.
func (f *Feed) Now() Instant {
	if !f.Active() {
		return Instant{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checkClock()
	return Instant{epoch: f.epoch, at: f.now()}
}

// Beat sends a beat: every change acknowledged before the instant has been published. A beat of an earlier epoch is
// dropped.
func (f *Feed) Beat(i Instant) {
	if i.epoch == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open && i.epoch == f.epoch {
		f.setBeat(i.at)
	}
}

// setBeat replaces the beat. The caller holds f.mu.
func (f *Feed) setBeat(at time.Time) {
	f.beats++
	f.beat = AppendBeat(make([]byte, 0, maxFrameSize), EventID{Epoch: f.epoch, Sequence: f.sequence}, at)
	f.beatAt = at
	f.beatEnd = f.ring.end()
	signal(f.wanted)
}

// run sends the beats of a feed without other nodes, and wakes the subscribers, until the feed has had no subscribers
// for a while.
func (f *Feed) run() {
	beat := time.NewTicker(f.config.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			if !f.tick() {
				return
			}
		case <-f.wanted:
		case <-f.stop:
			return
		}
		pause := time.NewTimer(f.wakeAll())
		select {
		case <-pause.C:
		case <-f.stop:
			return
		}
	}
}

// tick makes a beat. It returns false after the feed has become idle.
func (f *Feed) tick() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subscribers == 0 && time.Since(f.idleSince) > idleLife {
		f.active.Store(false)
		f.endEpoch()
		f.running = false
		return false
	}
	f.checkClock()
	if !f.config.Remote && f.subscribers > 0 && f.epoch != "" {
		f.setBeat(f.now())
	}
	return true
}

// wakeAll wakes the subscribers, and returns how long to wait until the next call.
func (f *Feed) wakeAll() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.wake)
	f.wake = make(chan struct{})
	return min(max(time.Duration(f.subscribers)*time.Second/writesPerSecond, minPause), f.config.Heartbeat)
}

// The errors of Subscribe and Next.
var (
	// ErrNone means that there is no feed, because the store cannot collect the changes of all nodes.
	ErrNone    = errors.New("the server has no feed")
	ErrFull    = errors.New("the feed has as many subscribers as it accepts")
	ErrTooSlow = errors.New("cut off: the subscriber reads too slowly, and its next events have been dropped")
	ErrClosed  = errors.New("the server is stopping")
)

// Subscribe adds a subscriber. lastEventID is the id of the last event that the subscriber has, or "". If the feed has
// all later events, the subscriber gets those; else it gets a hello first.
func (f *Feed) Subscribe(lastEventID string) (*Subscriber, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, ErrClosed
	case f.refuses:
		return nil, ErrNone
	case f.subscribers >= f.config.MaxSubscribers:
		return nil, ErrFull
	}
	f.subscribers++
	f.active.Store(true)
	if !f.running {
		f.running = true
		f.background.Go(f.run)
	}
	if f.open && f.epoch == "" {
		f.beginEpoch()
	}
	f.checkClock()
	s := &Subscriber{feed: f, since: f.now()}
	if id, ok := ParseEventID(lastEventID); ok && f.epoch != "" && id.Epoch == f.epoch {
		if position, ok := f.ring.after(id.Sequence); ok {
			s.epoch, s.position = f.epoch, position
		}
	}
	if f.config.Remote {
		signal(f.demand)
	} else {
		f.setBeat(f.now()) // a resumed subscriber has no other server time of this subscription
	}
	return s, nil
}

// Close ends the feed. Each subscriber gets ErrClosed.
func (f *Feed) Close() {
	if f == nil || f.end() {
		return
	}
	close(f.stop)
	f.background.Wait()
}

// end ends the subscriptions, and reports whether an earlier call has done so.
func (f *Feed) end() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return true
	}
	f.closed = true
	f.active.Store(false)
	close(f.wake)
	f.wake = make(chan struct{})
	return false
}

// Stats returns the figures of the feed.
func (f *Feed) Stats() FeedStats {
	if f == nil {
		return FeedStats{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := f.stats
	stats.Subscribers = f.subscribers
	if f.subscribers > 0 && f.epoch != "" {
		stats.BeatAge = f.now().Sub(f.base)
		if f.beat != nil {
			stats.BeatAge = f.now().Sub(f.beatAt)
		}
	}
	return stats
}
