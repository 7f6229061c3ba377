package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result has the measurements of one run. Requests counts only successes.
type Result struct {
	Conns     int          `json:"conns"`
	Sessions  int          `json:"sessions"`
	Offered   float64      `json:"offeredPerSecond"` // 0 means as fast as possible
	Seconds   float64      `json:"seconds"`
	Requests  int64        `json:"requests"`
	PerSecond float64      `json:"perSecond"`
	CPUMicros *float64     `json:"serverCpuMicros"` // for each request; nil if unknown
	Calls     []CallResult `json:"calls"`
}

// CallResult has the measurements of one kind of call. Latencies are in milliseconds.
type CallResult struct {
	Call      string           `json:"call"`
	Requests  int64            `json:"requests"`
	PerSecond float64          `json:"perSecond"`
	P50       float64          `json:"p50Ms"`
	P99       float64          `json:"p99Ms"`
	P999      float64          `json:"p999Ms"`
	Errors    map[string]int64 `json:"errors"` // number of failures by errorCode
}

func summarize(p Plan, sessions int, workers []*worker, elapsed time.Duration, cpu cpuTime) Result {
	r := Result{Conns: p.Conns, Sessions: sessions, Offered: p.Rate, Seconds: elapsed.Seconds()}
	for call := range callCount {
		if p.Mix[call] == 0 {
			continue
		}
		all := newCallStats()
		for _, w := range workers {
			all.latency.Merge(w.stats[call].latency)
			for code, n := range w.stats[call].errors {
				all.errors[code] += n
			}
		}
		ms := func(percent float64) float64 { return float64(all.latency.ValueAtPercentile(percent)) / 1000 }
		n := all.latency.TotalCount()
		r.Calls = append(r.Calls, CallResult{
			Call: call.String(), Requests: n, PerSecond: float64(n) / r.Seconds,
			P50: ms(50), P99: ms(99), P999: ms(99.9), Errors: all.errors,
		})
		r.Requests += n
	}
	r.PerSecond = float64(r.Requests) / r.Seconds
	if cpu.known && r.Requests > 0 {
		each := float64(cpu.time.Microseconds()) / float64(r.Requests)
		r.CPUMicros = &each
	}
	return r
}

// Print writes the result as a table.
func (r Result) Print(out io.Writer) error {
	offered := "as fast as possible"
	if r.Offered > 0 {
		offered = fmt.Sprintf("%g requests a second offered", r.Offered)
	}
	fmt.Fprintf(out, "%d connections, %d sessions, %.1f s, %s\n\n", r.Conns, r.Sessions, r.Seconds, offered)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "call\trequests\ta second\tp50 ms\tp99 ms\tp99.9 ms\terrors\t")
	for _, c := range r.Calls {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.2f\t%.2f\t%.2f\t%s\t\n",
			c.Call, c.Requests, c.PerSecond, c.P50, c.P99, c.P999, errorList(c.Errors))
	}
	fmt.Fprintf(w, "all\t%d\t%.1f\t\t\t\t\t\n", r.Requests, r.PerSecond)
	if err := w.Flush(); err != nil {
		return err
	}
	cpu := "unknown; give --pid for a server on this machine"
	if r.CPUMicros != nil {
		cpu = fmt.Sprintf("%.1f µs a request", *r.CPUMicros)
	}
	_, err := fmt.Fprintf(out, "\nserver CPU: %s\n", cpu)
	return err
}

func errorList(errors map[string]int64) string {
	if len(errors) == 0 {
		return "0"
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(errors)) {
		parts = append(parts, fmt.Sprintf("%s=%d", code, errors[code]))
	}
	return strings.Join(parts, " ")
}
