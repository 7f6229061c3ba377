package metrics

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// RecentMinutes is how many minutes Recent remembers.
const RecentMinutes = 60

// The counted series of Recent.
const (
	RecentRefreshes = iota // refreshes that succeeded
	RecentLogins           // sign-ins that succeeded
	RecentRefusals         // refreshes and sign-ins that were rejected, without failures of the server
	RecentThefts           // superseded tokens taken for stolen
	RecentErrors           // failed calls of the store
	RecentCommits          // commits of the store
	recentCommitMicros
	recentSeries
)

// Recent has the counts of the last hour by minute, for the console. It is safe for concurrent use. Its memory is
// fixed, and a count costs one atomic addition.
type Recent struct {
	begun time.Time
	cells [RecentMinutes]recentCell

	mu       sync.Mutex // guards the fields below
	sessions [RecentMinutes]sample
	lost     [RecentMinutes]sample
	gauges   []Gauges
}

// recentCell has the counts of one minute. The first count of a new minute clears it; a count at the same moment may be
// lost.
type recentCell struct {
	minute atomic.Int64
	counts [recentSeries]atomic.Uint64
}

// sample is the number of live sessions, or of all events lost so far, in a minute.
type sample struct{ minute, value int64 }

// NewRecent returns a *Metrics that only counts the last hour, for a server without a metrics listener.
func NewRecent() *Metrics { return &Metrics{recent: newRecent()} }

func newRecent() *Recent { return &Recent{begun: time.Now()} }

func (r *Recent) add(series int, n uint64) {
	minute := time.Now().Unix() / 60
	cell := &r.cells[minute%RecentMinutes]
	if before := cell.minute.Load(); before != minute && cell.minute.CompareAndSwap(before, minute) {
		for i := range cell.counts {
			cell.counts[i].Store(0)
		}
	}
	cell.counts[series].Add(n)
}

// Recent returns the counts of the last hour, or nil if m is nil.
func (m *Metrics) Recent() *Recent {
	if m == nil {
		return nil
	}
	return m.recent
}

// Begun returns when the counts began.
func (r *Recent) Begun() time.Time { return r.begun }

// Counts returns a series by minute, oldest first; the last one is the present minute.
func (r *Recent) Counts(series int) (counts [RecentMinutes]uint64) {
	now := time.Now().Unix() / 60
	for i := range counts {
		minute := now - int64(RecentMinutes-1-i)
		cell := &r.cells[minute%RecentMinutes]
		if cell.minute.Load() == minute {
			counts[i] = cell.counts[series].Load()
		}
	}
	return counts
}

// CommitTime returns the mean time of a commit of the store in the last hour, or 0 if there was none.
func (r *Recent) CommitTime() time.Duration {
	var commits, micros uint64
	for _, n := range r.Counts(RecentCommits) {
		commits += n
	}
	for _, n := range r.Counts(recentCommitMicros) {
		micros += n
	}
	if commits == 0 {
		return 0
	}
	return time.Duration(micros/commits) * time.Microsecond
}

// Sample remembers the present number of sessions, and of events lost so far. The server calls it once a minute.
func (m *Metrics) Sample(ctx context.Context) {
	if m == nil {
		return
	}
	sessions, known := m.recent.Sessions(ctx)
	lost := m.recent.allEventsLost()
	minute := time.Now().Unix() / 60
	m.recent.mu.Lock()
	defer m.recent.mu.Unlock()
	if known {
		m.recent.sessions[minute%RecentMinutes] = sample{minute: minute, value: sessions}
	}
	m.recent.lost[minute%RecentMinutes] = sample{minute: minute, value: lost}
}

// SessionSamples returns the number of sessions by minute, oldest first. A minute without a sample has -1.
func (r *Recent) SessionSamples() (values [RecentMinutes]int64) {
	now := time.Now().Unix() / 60
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range values {
		values[i] = -1
		minute := now - int64(RecentMinutes-1-i)
		if s := r.sessions[minute%RecentMinutes]; s.minute == minute {
			values[i] = s.value
		}
	}
	return values
}

// register adds gauges.
func (r *Recent) register(g Gauges) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gauges = append(r.gauges, g)
}

// registered returns the gauges.
func (r *Recent) registered() []Gauges {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gauges
}

// Sessions returns the number of sessions now, or false if it is not known.
func (r *Recent) Sessions(ctx context.Context) (int64, bool) {
	for _, g := range r.registered() {
		if g.Sessions != nil {
			return g.Sessions(ctx)
		}
	}
	return 0, false
}

// Nodes returns the addresses of the nodes that use the store now, or false if they are not known.
func (r *Recent) Nodes(ctx context.Context) ([]string, bool) {
	for _, g := range r.registered() {
		if g.Nodes != nil {
			return g.Nodes(ctx)
		}
	}
	return nil, false
}

// DiskFull reports whether the disk has no space for the store.
func (r *Recent) DiskFull() bool {
	for _, g := range r.registered() {
		if g.DiskFull != nil {
			return g.DiskFull()
		}
	}
	return false
}

// EventsLost returns how many events of the audit the store did not get in the last hour.
func (r *Recent) EventsLost() int64 {
	all := r.allEventsLost()
	if time.Since(r.begun) < RecentMinutes*time.Minute {
		return all
	}
	now := time.Now().Unix() / 60
	r.mu.Lock()
	defer r.mu.Unlock()
	before := all // the least of the last hour, because the number never falls
	for _, s := range r.lost {
		if now-s.minute < RecentMinutes {
			before = min(before, s.value)
		}
	}
	return all - before
}

// allEventsLost returns how many events of the audit the store did not get since the start.
func (r *Recent) allEventsLost() (lost int64) {
	for _, g := range r.registered() {
		if g.Audit != nil {
			_, lost = g.Audit()
		}
	}
	return lost
}

// CertificateNotAfter returns when the first certificate of the server expires, or false if there is none.
func (r *Recent) CertificateNotAfter() (time.Time, bool) {
	for _, g := range r.registered() {
		if g.CertificateNotAfter != nil {
			return g.CertificateNotAfter()
		}
	}
	return time.Time{}, false
}
