// Package bench drives a running server with real chains: each refresh spends
// the token that the one before returned.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"github.com/pawlauth/pawl/api"
)

// Plan is one run over the chains of a Load.
type Plan struct {
	Conns    int           // connections that send at the same time; no more than there are chains
	Duration time.Duration // for how long requests are started
	Rate     float64       // requests a second offered in all; 0 is as fast as it can
	Mix      Mix
	PID      int // of the server, if it runs on this machine; 0 is not known
	// Progress hears once a second how it goes; nil for nobody.
	Progress func(string)
}

// chain is one session. One worker at a time owns it.
type chain struct{ token []byte }

// worker is one connection, and the chains that are driven over it.
type worker struct {
	conn   *conn
	mix    Mix
	random *rand.Rand
	chains []*chain
	next   int
	tally  [callCount]tally
	done   atomic.Int64 // successes so far, for the progress line
}

// tally is what one worker has seen of one kind of call.
type tally struct {
	latency *hdrhistogram.Histogram // of successes, in microseconds; its size is fixed
	errors  map[string]int64        // other answers by errorCode
}

const slowest = time.Minute // longer latencies are counted as this

func newTally() tally {
	return tally{hdrhistogram.New(1, slowest.Microseconds(), 2), map[string]int64{}}
}

// grace is how long an answer may take.
const grace = 15 * time.Second

// Run drives the server by the plan. It is an error if a chain breaks: then
// there is no result, as what was measured was not what was meant.
func (l *Load) Run(ctx context.Context, p Plan) (Result, error) {
	if p.Conns < 1 || p.Conns > len(l.chains) {
		return Result{}, fmt.Errorf("%d connections need as many sessions, there are %d", p.Conns, len(l.chains))
	}
	workers, err := l.workers(ctx, p)
	for _, w := range workers {
		defer w.conn.Close()
	}
	if err != nil {
		return Result{}, err
	}
	cpu := cpuOf(p.PID)
	start := time.Now()
	end := start.Add(p.Duration)
	group, running := errgroup.WithContext(ctx)
	stop := context.AfterFunc(running, func() {
		for _, w := range workers {
			_ = w.conn.SetDeadline(time.Unix(1, 0)) // lets go of a worker that waits for an answer
		}
	})
	defer stop()
	due := make(chan time.Time)
	if p.Rate > 0 {
		go pace(running, p.Rate, start, end, due)
	}
	for _, w := range workers {
		_ = w.conn.SetDeadline(end.Add(grace))
		group.Go(func() error {
			if p.Rate > 0 {
				return w.openLoop(due)
			}
			return w.closedLoop(end)
		})
	}
	quit := report(workers, p, start)
	err = group.Wait()
	quit()
	if ctx.Err() != nil {
		return Result{}, errors.New("interrupted")
	}
	if err != nil {
		return Result{}, err
	}
	return summarize(p, len(l.chains), workers, time.Since(start), cpuOf(p.PID).minus(cpu)), nil
}

// workers dials all connections and deals the chains out to them.
func (l *Load) workers(ctx context.Context, p Plan) ([]*worker, error) {
	workers := make([]*worker, 0, p.Conns)
	for i := range p.Conns {
		c, err := l.dial(ctx)
		if err != nil {
			return workers, err
		}
		w := &worker{conn: c, mix: p.Mix, random: rand.New(rand.NewPCG(uint64(i), 1))}
		for call := range w.tally {
			w.tally[call] = newTally()
		}
		for n := i; n < len(l.chains); n += p.Conns {
			w.chains = append(w.chains, l.chains[n])
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// closedLoop sends the next request when the last one is answered.
func (w *worker) closedLoop(end time.Time) error {
	for now := time.Now(); now.Before(end); {
		answered, err := w.call(now)
		if err != nil {
			return err
		}
		now = answered
	}
	return nil
}

// openLoop sends what is due. Latency counts from when it was due, so a server
// that stalls is charged for those that had to wait behind.
func (w *worker) openLoop(due <-chan time.Time) error {
	for at := range due {
		if _, err := w.call(at); err != nil {
			return err
		}
	}
	return nil
}

// call sends one request, and returns when it was answered.
func (w *worker) call(from time.Time) (time.Time, error) {
	session := w.chains[w.next]
	if w.next++; w.next == len(w.chains) {
		w.next = 0
	}
	call := w.mix.pick(w.random)
	got, err := w.conn.exchange(call, session.token)
	answered := time.Now()
	if err != nil {
		return answered, fmt.Errorf("a chain broke: %s: %w", call, err)
	}
	t := &w.tally[call]
	switch {
	case got.code != "":
		t.errors[got.code]++
		if got.status != http.StatusServiceUnavailable && got.status != http.StatusTooManyRequests {
			return answered, fmt.Errorf("a chain broke: %s was answered %d %s: %s", call, got.status, got.code, got.message)
		}
		return answered, nil // nothing was changed: the chain goes on
	case call == Refresh:
		session.token = append(session.token[:0], got.token...)
	}
	w.done.Add(1)
	return answered, t.latency.RecordValue(min(answered.Sub(from), slowest).Microseconds())
}

// report tells Progress how it goes until the returned function is called.
func report(workers []*worker, p Plan, start time.Time) (quit func()) {
	if p.Progress == nil {
		return func() {}
	}
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for before := int64(0); ; {
			select {
			case <-over:
				return
			case now := <-tick.C:
				var sum int64
				for _, w := range workers {
					sum += w.done.Load()
				}
				p.Progress(fmt.Sprintf("%3.0f of %.0f s  %d requests a second", now.Sub(start).Seconds(), p.Duration.Seconds(), sum-before))
				before = sum
			}
		}
	}()
	return func() { close(over); <-gone }
}

// Load is a server, and chains on it.
type Load struct {
	target target
	chains []*chain
}

// Open signs in as many times as sessions says: each opens a chain. Signing in
// costs the server a password hash, so this takes its time; progress, which may
// be nil, hears of each.
func Open(ctx context.Context, url, login, password string, sessions int, progress func(string)) (*Load, error) {
	t, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	l := &Load{target: t, chains: make([]*chain, sessions)}
	const together = 4 // sign-ins at a time: more only wait in the server's queue
	group, running := errgroup.WithContext(ctx)
	var next, opened atomic.Int64
	for range min(together, sessions) {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(sessions); i = next.Add(1) - 1 {
				token, err := l.signIn(running, api.LoginRequest{Login: login, Password: password})
				if err != nil {
					return err
				}
				l.chains[i] = &chain{token}
				if n := opened.Add(1); progress != nil {
					progress(fmt.Sprintf("signed in %d of %d", n, sessions))
				}
			}
			return nil
		})
	}
	return l, group.Wait()
}

// signIn opens one session; a server that is full is asked again for a while.
func (l *Load) signIn(ctx context.Context, r api.LoginRequest) ([]byte, error) {
	for try := 0; ; try++ {
		got, err := l.login(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("signing in: %w", err)
		}
		if got.code == "" {
			return got.token, nil
		}
		busy := got.status == http.StatusServiceUnavailable || got.status == http.StatusTooManyRequests
		if !busy || try == 60 {
			return nil, fmt.Errorf("signing in was answered %d %s: %s", got.status, got.code, got.message)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
