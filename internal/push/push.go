// Package push delivers security event tokens (RFC 8417) to receivers by HTTP (RFC 8935): a session-revoked event of
// OpenID CAEP 1.0 for each event of the audit that ends a session, or all sessions of a user.
//
// Each node has a Pusher. A lease in the store gives each receiver to one node at a time. A worker of that node
// (worker.go) reads the audit after the receiver's cursor, which is in the store too. Events are delivered in the order
// of the audit, each again until the receiver has accepted or rejected it. So no restart loses an event. A crash may
// repeat some, with the same jti. event.go has the form of a token, and post.go a delivery. address.go keeps a receiver
// from leading the server to addresses inside the server's own network.
package push

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/seal"
)

// Store has the receivers and the audit.
type Store interface {
	authority.ReceiverStore
	Events(ctx context.Context, f audit.Filter) ([]audit.Event, error)
}

// Config configures a Pusher. Box, AllowPrivate, Build and Timing are optional; every other field is required.
type Config struct {
	Store  Store
	Keys   authority.Keyring
	Issuer string    // iss of the tokens
	Box    *seal.Box // seals the Authorization headers in the store; nil permits none
	// AllowPrivate permits receivers at private addresses, and plain HTTP on loopback.
	AllowPrivate bool
	Build        string // for the User-Agent
	Clock        func() time.Time
	Log          *slog.Logger
	Timing
}

// Timing has the times of a Pusher. Only tests set them; a zero field has a default.
type Timing struct {
	Poll        time.Duration // how often a node with a lease reads the audit
	LeaseLife   time.Duration // how long a lease outlives its node
	PostTimeout time.Duration // of one delivery; at most a third of LeaseLife
	MinBackoff  time.Duration // the pause after the first failure, which doubles with each further one
}

func (t *Timing) setDefaults() {
	setDefault(&t.Poll, 500*time.Millisecond)
	setDefault(&t.LeaseLife, 30*time.Second)
	setDefault(&t.PostTimeout, 10*time.Second)
	setDefault(&t.MinBackoff, time.Second)
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

const (
	maxBackoff = 5 * time.Minute
	// drainTimeout is how long a delivery in progress may take at the end of a node.
	drainTimeout = 3 * time.Second
	storeTimeout = 5 * time.Second
	// testTimeout is less than the time-out of a request to Pawl.
	testTimeout = 5 * time.Second
)

// Pusher delivers tokens. It is safe for concurrent use.
type Pusher struct {
	config Config
	node   string // the holder of leases; random, so that a restarted node is another one
	http   *http.Client
	woken  chan struct{}
	exists atomic.Bool // there are receivers, of this or another node

	delivered, rejected, failed atomic.Uint64

	mu      sync.Mutex         // guards workers
	workers map[string]*worker // by the id of the receiver
	group   sync.WaitGroup
}

// New returns a Pusher. Run makes it work.
func New(c Config) *Pusher {
	c.Timing.setDefaults()
	p := &Pusher{config: c, node: rand.Text(), woken: make(chan struct{}, 1), workers: map[string]*worker{}}
	p.http = p.newHTTPClient()
	return p
}

// Wake lets Run look for new and removed receivers at once.
func (p *Pusher) Wake() { wake(p.woken) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is due already
	}
}

// Awaits reports whether an event must be in the store before its cause is acknowledged, because a receiver would miss
// it otherwise.
func (p *Pusher) Awaits(e *audit.Event) bool { return p.exists.Load() && Revokes(e) }

// Load reads whether there are receivers. Call it before Run, so that no event of the first moments is acknowledged
// before it is in the store.
func (p *Pusher) Load(ctx context.Context) error {
	receivers, err := p.config.Store.Receivers(ctx)
	p.exists.Store(len(receivers) > 0)
	return err
}

// Run delivers tokens until ctx ends. It then finishes the deliveries in progress, and gives the leases back.
func (p *Pusher) Run(ctx context.Context) {
	tick := time.NewTicker(p.config.Poll)
	defer tick.Stop()
	var leasedAt time.Time
	var newest int64
	for {
		every := p.config.LeaseLife / 6
		if p.exists.Load() {
			every = p.config.LeaseLife / 15
		}
		if time.Since(leasedAt) >= every {
			leasedAt = time.Now()
			p.lease(ctx)
		}
		newest = p.wakeWorkers(ctx, newest)
		select {
		case <-ctx.Done():
			p.drain()
			return
		case <-p.woken:
			leasedAt = time.Time{}
		case <-tick.C:
		}
	}
}

// lease renews the leases of this node, starts workers for new ones, and stops those without a lease.
func (p *Pusher) lease(ctx context.Context) {
	begun := time.Now()
	receivers, err := p.config.Store.LeaseReceivers(ctx, p.node, p.config.LeaseLife)
	if err != nil {
		if ctx.Err() == nil {
			p.config.Log.WarnContext(ctx, "receivers not read", "err", err)
		}
		return
	}
	p.exists.Store(len(receivers) > 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	own := map[string]bool{}
	for _, r := range receivers {
		if r.Node != p.node || r.Left <= 0 {
			continue
		}
		own[r.ID] = true
		until := begun.Add(min(r.Left, p.config.LeaseLife)) // another node may shorten a longer lease
		w := p.workers[r.ID]
		if w != nil && w.ended.Err() == nil {
			w.leasedUntil.Store(&until)
			continue
		}
		w = newWorker(p, r, until)
		p.workers[r.ID] = w
		p.group.Go(func() { w.run(ctx) })
	}
	for id, w := range p.workers {
		if !own[id] {
			w.stop()
			delete(p.workers, id)
		}
	}
}

// wakeWorkers wakes the workers if the audit has events after one of them, and returns the last one.
func (p *Pusher) wakeWorkers(ctx context.Context, after int64) int64 {
	p.mu.Lock()
	workers := slices.Collect(maps.Values(p.workers))
	p.mu.Unlock()
	if len(workers) == 0 {
		return after
	}
	for _, w := range workers {
		after = max(after, w.receiver.Cursor) // a worker delivers all earlier ones at its start
	}
	events, err := p.config.Store.Events(ctx, audit.Filter{After: &after, Limit: pageSize})
	if err != nil || len(events) == 0 {
		return after
	}
	for _, w := range workers {
		wake(w.woken)
	}
	return events[len(events)-1].ID
}

// drain waits for the workers, which stop by themselves, and gives the leases back.
func (p *Pusher) drain() {
	p.mu.Lock()
	workers := p.workers
	p.workers = map[string]*worker{}
	p.mu.Unlock()
	timer := time.AfterFunc(drainTimeout, func() {
		for _, w := range workers {
			w.stop()
		}
	})
	p.group.Wait()
	timer.Stop()
	p.http.CloseIdleConnections()
	if len(workers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := p.config.Store.ReleaseReceivers(ctx, p.node); err != nil {
		p.config.Log.Warn("the leases of receivers remain until they end by themselves", "err", err)
	}
}

// Stats returns figures for the metrics.
func (p *Pusher) Stats() metrics.PushStats {
	s := metrics.PushStats{Delivered: p.delivered.Load(), Rejected: p.rejected.Load(), Failed: p.failed.Load()}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Receivers = len(p.workers)
	now := p.config.Clock().Unix()
	for _, w := range p.workers {
		if at := w.pendingAt.Load(); at != 0 {
			s.Lag = max(s.Lag, time.Duration(now-at)*time.Second)
		}
	}
	return s
}

// CheckKey returns an error if no signing key can sign for receivers.
func (p *Pusher) CheckKey() error {
	if p.key() == nil {
		return errNoPublicKey
	}
	return nil
}

// Test delivers a token with a verification event, once. The problem is empty if the receiver has accepted it.
func (p *Pusher) Test(ctx context.Context, r authority.Receiver) (status int, problem string) {
	text, err := p.sign(ctx, claims{
		Issuer: p.config.Issuer, Audience: r.Audience, IssuedAt: p.config.Clock().Unix(), ID: rand.Text(),
		Subject: subject{Format: "opaque", ID: r.ID},
		Events:  map[string]payload{verification: {State: rand.Text()}},
	})
	if err != nil {
		return 0, err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	a := p.post(ctx, &r, text)
	return a.status, a.problem
}
