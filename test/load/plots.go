package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
)

const maxConns = 256

// writePlots measures and writes the plots of docs/benchmarks.md.
func writePlots(ctx context.Context, servers []*server, each time.Duration, dir string) error {
	throughput, err := plotThroughput(ctx, servers, each)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "throughput.svg"), throughput.svg(), 0o644); err != nil {
		return err
	}
	for _, s := range servers[1:] {
		latency, err := plotLatency(ctx, s, each)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "latency-"+strings.ToLower(s.name)+".svg")
		if err := os.WriteFile(file, latency.svg(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// plotThroughput measures requests a second by the number of connections, of the two calls that clients make most.
func plotThroughput(ctx context.Context, servers []*server, each time.Duration) (*plot, error) {
	p := &plot{title: "Throughput", x: "connections", y: "requests a second", logX: true}
	for _, call := range []bench.Call{bench.Session, bench.Refresh} {
		for _, s := range servers {
			line := series{name: key(call, s)}
			for conns := 1; conns <= maxConns; conns *= 2 {
				r, err := s.measure(ctx, call, conns, each)
				if err != nil {
					return nil, err
				}
				logf("%s, %d connections: %.0f a second", line.name, conns, r.PerSecond)
				line.points = append(line.points, point{float64(conns), r.PerSecond})
			}
			p.lines = append(p.lines, line)
		}
	}
	return p, nil
}

// plotLatency measures the latency of a refresh by the offered rate.
func plotLatency(ctx context.Context, s *server, each time.Duration) (*plot, error) {
	top, err := s.measure(ctx, bench.Refresh, tableConns, each)
	if err != nil {
		return nil, err
	}
	p50, p99 := series{name: "p50"}, series{name: "p99"}
	for tenth := 1; tenth <= 9; tenth++ {
		rate := top.PerSecond * float64(tenth) / 10
		plan := bench.Plan{Conns: tableConns, Duration: 2 * each, Rate: rate, Mix: bench.Only(bench.Refresh)}
		r, err := s.run(ctx, plan)
		if err != nil {
			return nil, err
		}
		c := r.Calls[0]
		logf("%s, %.0f refreshes a second offered: p50 %.2f ms, p99 %.2f ms", s.name, rate, c.P50, c.P99)
		p50.points = append(p50.points, point{rate, c.P50})
		p99.points = append(p99.points, point{rate, c.P99})
	}
	title := fmt.Sprintf("Latency of a refresh on %s, %d connections", s.name, tableConns)
	lines := []series{p50, p99}
	return &plot{title: title, x: "refreshes a second offered", y: "ms", logY: true, lines: lines}, nil
}
