package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
)

// build is a program that runAgainst compares.
type build struct {
	name, binary string
	settings     []string
	rates, cpu   map[bench.Call][]float64 // one for each round
}

// runAgainst measures an earlier Pawl, this one without the fast lane, and this one, in turn, on SQLite. Each round
// starts new servers, because the speed of the earlier one on one CPU differs from start to start.
func runAgainst(ctx context.Context, out io.Writer, p programs, rounds int, each time.Duration) error {
	builds := []*build{
		{name: "earlier build", binary: p.old},
		{name: "this one, `--fast-lane off`", binary: p.binary, settings: []string{"fast-lane=off"}},
		{name: "this one", binary: p.binary},
	}
	for _, b := range builds {
		b.rates, b.cpu = map[bench.Call][]float64{}, map[bench.Call][]float64{}
	}
	calls := []bench.Call{bench.Refresh, bench.Session}
	for range rounds {
		for _, b := range builds {
			if err := b.measure(ctx, calls, each); err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
		}
	}
	fmt.Fprintf(out, "\n%d connections, SQLite, HS256, %s, %d rounds of %s, medians (least to most); each ratio is "+
		"that to the earlier build\n\n", tableConns, p.machine, rounds, each)
	fmt.Fprintln(out, "| build | call | requests a second | ratio | server CPU, µs a request | ratio |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|")
	for _, call := range calls {
		rates, cpu := builds[0].rates[call], builds[0].cpu[call]
		for _, b := range builds {
			fmt.Fprintf(out, "| %s | %s | %.0f (%.0f to %.0f) | %s | %.1f | %s |\n", b.name, call,
				median(b.rates[call]), slices.Min(b.rates[call]), slices.Max(b.rates[call]),
				spread(b.rates[call], rates), median(b.cpu[call]), spread(b.cpu[call], cpu))
		}
	}
	return nil
}

// measure starts the build with a new store, and adds the result of each call.
func (b *build) measure(ctx context.Context, calls []bench.Call, each time.Duration) error {
	dir, err := os.MkdirTemp("", "pawl-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := startSQLite(b.binary, dir, b.settings...)
	if err != nil {
		return err
	}
	defer s.stop()
	s.name = b.name
	if err := openAll(ctx, []*server{s}, tableConns); err != nil {
		return err
	}
	for _, call := range calls {
		result, err := s.measure(ctx, call, tableConns, each)
		if err != nil {
			return err
		}
		b.rates[call] = append(b.rates[call], result.PerSecond)
		if result.CPUMicros != nil {
			b.cpu[call] = append(b.cpu[call], *result.CPUMicros)
		}
	}
	return nil
}

// spread returns the ratios of the rounds of two servers: their median, the least and the most.
func spread(values, base []float64) string {
	ratios := make([]float64, len(values))
	for i := range values {
		ratios[i] = values[i] / base[i]
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}
