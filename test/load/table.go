package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
)

const tableConns = 64

var calls = []bench.Call{bench.Session, bench.Introspect, bench.Refresh, bench.RefreshWithKey}

// cell has the results of one call on one server, one for each round. The ratios refer to the floor in the same round.
type cell struct {
	perSecond, cpu, p50, p99 []float64
	rateRatio, cpuRatio      []float64
}

// printTable measures all servers in rounds, and prints medians. The rounds ensure that a slower phase of the machine
// affects all servers.
func printTable(ctx context.Context, out io.Writer, servers []*server, rounds int, each time.Duration) error {
	cells := map[string]*cell{}
	for round := range rounds + 1 {
		warmUp := round == 0
		for _, call := range calls {
			for _, s := range servers {
				result, err := s.measure(ctx, call, tableConns, each)
				if err != nil {
					return err
				}
				if !warmUp {
					add(cells, call, s, result)
					logf("round %d of %d: %-8s %-8s %9.0f a second", round, rounds, call, s.name, result.PerSecond)
				}
			}
		}
	}
	printMachine(out)
	fmt.Fprintf(out, "%d connections, %d rounds of %s, medians (least to most)\n\n", tableConns, rounds, each)
	fmt.Fprintln(out, "| call | server | requests a second | of the floor "+
		"| server CPU, µs a request | times the floor's | p50 ms | p99 ms |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	for _, call := range calls {
		for _, s := range servers {
			c := cells[key(call, s)]
			fmt.Fprintf(out, "| %s | %s | %.0f (%.0f to %.0f) | %.2f (%.2f to %.2f) | %.1f | %.2f | %.2f | %.2f |\n",
				call, s.name,
				median(c.perSecond), slices.Min(c.perSecond), slices.Max(c.perSecond),
				median(c.rateRatio), slices.Min(c.rateRatio), slices.Max(c.rateRatio),
				median(c.cpu), median(c.cpuRatio), median(c.p50), median(c.p99))
		}
	}
	printKeys(out, servers, cells)
	return printHalf(ctx, out, servers, cells, rounds, each)
}

// printKeys prints what an API key beside the token costs. The ratios are those of each round.
func printKeys(out io.Writer, servers []*server, cells map[string]*cell) {
	fmt.Fprint(out, "\nWith an API key beside the token, over without one\n\n")
	fmt.Fprintln(out, "| call | over | server | requests a second | server CPU |")
	fmt.Fprintln(out, "|---|---|---|---|---|")
	for _, pair := range [][2]bench.Call{{bench.RefreshWithKey, bench.Refresh}, {bench.Introspect, bench.Session}} {
		with, without := pair[0], pair[1]
		for _, s := range servers {
			a, b := cells[key(with, s)], cells[key(without, s)]
			var rate, cpu []float64
			for i := range a.perSecond {
				rate = append(rate, a.perSecond[i]/b.perSecond[i])
				cpu = append(cpu, a.cpu[i]/b.cpu[i])
			}
			fmt.Fprintf(out, "| %s | %s | %s | %.2f (%.2f to %.2f) | %.2f |\n",
				with, without, s.name, median(rate), slices.Min(rate), slices.Max(rate), median(cpu))
		}
	}
}

func key(call bench.Call, s *server) string { return call.String() + " " + s.name }

// add adds a result to its cell. The floor must be the first server of each round.
func add(cells map[string]*cell, call bench.Call, s *server, r bench.Result) {
	c := cells[key(call, s)]
	if c == nil {
		c = new(cell)
		cells[key(call, s)] = c
	}
	cpu := 0.0 // unknown on this system
	if r.CPUMicros != nil {
		cpu = *r.CPUMicros
	}
	c.perSecond = append(c.perSecond, r.PerSecond)
	c.cpu = append(c.cpu, cpu)
	c.p50 = append(c.p50, r.Calls[0].P50)
	c.p99 = append(c.p99, r.Calls[0].P99)
	floor := cells[call.String()+" "+floorName]
	c.rateRatio = append(c.rateRatio, r.PerSecond/floor.perSecond[len(floor.perSecond)-1])
	c.cpuRatio = append(c.cpuRatio, cpu/floor.cpu[len(floor.cpu)-1])
}

// printHalf measures and prints the latency of refreshes at half of the highest rate: medians of rounds, in which the
// servers take turns.
func printHalf(
	ctx context.Context, out io.Writer, servers []*server, cells map[string]*cell, rounds int, each time.Duration,
) error {
	type half struct{ rate, p50, p99, p999, ratio []float64 }
	halves := make([]half, len(servers))
	for range rounds {
		for i, s := range servers {
			rate := median(cells[key(bench.Refresh, s)].perSecond) / 2
			logf("%s: refreshes at %.0f a second", s.name, rate)
			plan := bench.Plan{Conns: tableConns, Duration: 3 * each, Rate: rate, Mix: bench.Only(bench.Refresh)}
			r, err := s.run(ctx, plan)
			if err != nil {
				return err
			}
			h, c := &halves[i], r.Calls[0]
			h.rate = append(h.rate, r.PerSecond)
			h.p50 = append(h.p50, c.P50)
			h.p99 = append(h.p99, c.P99)
			h.p999 = append(h.p999, c.P999)
			h.ratio = append(h.ratio, c.P99/c.P50)
		}
	}
	fmt.Fprint(out, "\nRefreshes at half of the highest rate; latency from the time at which each was due\n\n")
	fmt.Fprintln(out, "| server | offered | answered a second | p50 ms | p99 ms | p99.9 ms | p99/p50 |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	for i, s := range servers {
		h := halves[i]
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %.2f | %.2f | %.2f | %.1f (%.1f to %.1f) |\n", s.name,
			median(cells[key(bench.Refresh, s)].perSecond)/2, median(h.rate),
			median(h.p50), median(h.p99), median(h.p999), median(h.ratio), slices.Min(h.ratio), slices.Max(h.ratio))
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// printMachine prints the machine and the software of the measurement.
func printMachine(out io.Writer) {
	model := "unknown CPU"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	commit, _ := exec.Command("git", "describe", "--always", "--dirty").Output() // empty outside a clone
	fmt.Fprintf(out, "%s, %d cores shared with the load, %s %s/%s, %s, commit %s\n",
		model, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, time.Now().Format(time.DateOnly),
		strings.TrimSpace(string(commit)))
}
