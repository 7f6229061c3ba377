// Package bench drives a running server with real chains: each refresh spends
// the token that the one before returned.
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
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
	cpu, start := cpuOf(p.PID), time.Now()
	quit := report(workers, p, start)
	err = drive(ctx, workers, p, start)
	quit()
	if ctx.Err() != nil {
		return Result{}, errors.New("interrupted")
	}
	if err != nil {
		return Result{}, err
	}
	return summarize(p, len(l.chains), workers, time.Since(start), cpuOf(p.PID).minus(cpu)), nil
}

// drive lets the workers send until the plan's end. The first error ends all of
// them, and so does the end of ctx.
func drive(ctx context.Context, workers []*worker, p Plan, start time.Time) error {
	end := start.Add(p.Duration)
	for _, w := range workers {
		_ = w.conn.SetDeadline(end.Add(grace))
	}
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
		group.Go(func() error {
			if p.Rate > 0 {
				return w.openLoop(due)
			}
			return w.closedLoop(end)
		})
	}
	return group.Wait()
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
