// Package bench measures a running server. Each session is a chain of refreshes: each refresh uses the token returned
// by the previous refresh, so no request can be answered from a cache.
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Plan configures one run over the chains of a Load.
type Plan struct {
	Conns    int           // concurrent connections, at most one for each chain
	Duration time.Duration // how long the run starts new requests
	Rate     float64       // total number of requests a second; 0 means as fast as possible
	Mix      Mix
	APIKey   string // of RefreshWithKey and Introspect; empty if the mix has neither
	PID      int    // the server's process id if it runs on this machine, otherwise 0
	// Progress is optional. It is called once a second with a line about the run.
	Progress func(string)
}

// grace limits the time for one response.
const grace = 15 * time.Second

// Run sends requests to the server by the plan. A broken chain is an error without a result, because the requests after
// it would measure something else.
func (l *Load) Run(ctx context.Context, p Plan) (Result, error) {
	if p.Conns < 1 || p.Conns > len(l.chains) {
		const text = "%d connections need as many sessions, but there are only %d"
		return Result{}, fmt.Errorf(text, p.Conns, len(l.chains))
	}
	workers, err := l.workers(ctx, p)
	for _, w := range workers {
		defer w.conn.Close()
	}
	if err != nil {
		return Result{}, err
	}
	cpu, start := cpuOf(p.PID), time.Now()
	stopProgress := reportProgress(workers, p, start)
	err = drive(ctx, workers, p, start)
	stopProgress()
	if ctx.Err() != nil {
		return Result{}, errors.New("interrupted")
	}
	if err != nil {
		return Result{}, err
	}
	return summarize(p, len(l.chains), workers, time.Since(start), cpuOf(p.PID).minus(cpu)), nil
}

// drive runs the workers until the end of the plan, the first error, or the end of ctx.
func drive(ctx context.Context, workers []*worker, p Plan, start time.Time) error {
	end := start.Add(p.Duration)
	for _, w := range workers {
		_ = w.conn.SetDeadline(end.Add(grace))
	}
	group, running := errgroup.WithContext(ctx)
	stop := context.AfterFunc(running, func() {
		for _, w := range workers {
			_ = w.conn.SetDeadline(time.Unix(1, 0)) // interrupts workers waiting for a response
		}
	})
	defer stop()
	due := make(chan time.Time)
	if p.Rate > 0 {
		go pace(running, p.Rate, start, end, due)
	}
	for _, w := range workers {
		group.Go(func() error {
			if p.Rate > 0 {
				return w.openLoop(due)
			}
			return w.closedLoop(end)
		})
	}
	return group.Wait()
}

// reportProgress calls p.Progress once a second until the returned function is called.
func reportProgress(workers []*worker, p Plan, start time.Time) (stop func()) {
	if p.Progress == nil {
		return func() {}
	}
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for before := int64(0); ; {
			select {
			case <-stopping:
				return
			case now := <-tick.C:
				var sum int64
				for _, w := range workers {
					sum += w.done.Load()
				}
				p.Progress(fmt.Sprintf("%3.0f of %.0f s  %d requests a second",
					now.Sub(start).Seconds(), p.Duration.Seconds(), sum-before))
				before = sum
			}
		}
	}()
	return func() { close(stopping); <-stopped }
}
