package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
)

// runAgainst measures an earlier Pawl, this one without the fast lane, and this one, in turn, on SQLite.
func runAgainst(ctx context.Context, out io.Writer, p programs, rounds int, each time.Duration) error {
	dir, err := os.MkdirTemp("", "pawl-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var servers []*server
	for i, build := range []struct {
		name, binary string
		settings     []string
	}{
		{name: "earlier build", binary: p.old},
		{name: "this one, `--fast-lane off`", binary: p.binary, settings: []string{"fast-lane=off"}},
		{name: "this one", binary: p.binary},
	} {
		s, err := startSQLite(build.binary, filepath.Join(dir, fmt.Sprint("store", i)), build.settings...)
		if err != nil {
			return fmt.Errorf("%s: %w", build.name, err)
		}
		defer s.stop()
		s.name = build.name
		servers = append(servers, s)
	}
	if err := openAll(ctx, servers, tableConns); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d connections, SQLite, HS256, %s, %d rounds of %s, medians (least to most); each ratio is "+
		"that to the earlier build\n\n", tableConns, p.machine, rounds, each)
	fmt.Fprintln(out, "| build | call | requests a second | ratio | server CPU, µs a request | ratio |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|")
	for _, call := range []bench.Call{bench.Refresh, bench.Session} {
		rates := make([][]float64, len(servers))
		cpu := make([][]float64, len(servers))
		for round := range rounds + 1 {
			for i, s := range servers {
				result, err := s.measure(ctx, call, tableConns, each)
				if err != nil {
					return err
				}
				if round == 0 || result.CPUMicros == nil {
					continue // the first round warms up
				}
				rates[i], cpu[i] = append(rates[i], result.PerSecond), append(cpu[i], *result.CPUMicros)
			}
		}
		for i, s := range servers {
			fmt.Fprintf(out, "| %s | %s | %.0f | %s | %.1f | %s |\n", s.name, call,
				median(rates[i]), spread(rates[i], rates[0]), median(cpu[i]), spread(cpu[i], cpu[0]))
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
