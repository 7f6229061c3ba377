// Command load measures the real binary over HTTP, next to a bare server in the same run. Quote the ratios between
// them, because machines differ. "make bench" and "make bench-plots" run this command; docs/benchmarks.md describes the
// method.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == floorMode {
		fail(serveFloor(os.Stdin, os.Stdout))
		return
	}
	rounds := flag.Int("rounds", 5, "number of rounds of the table")
	each := flag.Duration("each", 4*time.Second, "length of each measurement")
	plots := flag.String("plots", "", "write the plots into this folder instead of printing the table")
	feed := flag.Bool("feed", false, "measure only what the feed of revocations costs, and how late it is")
	openings := flag.Bool("openings", false, "measure only how sessions are opened")
	matrix := flag.Bool("matrix", false, "measure only the stores by algorithm, connections and CPUs")
	against := flag.String("against", "", "measure only an earlier build of Pawl, this `binary`, beside this one")
	cpus := flag.Int("cpus", 0, "with -matrix and -against, measure only on 1 or 2 CPUs; 1 needs Linux")
	flush := flag.Duration("flush", 0, "with -against on one CPU, make each flush so much longer, by strace")
	flag.Parse()
	// The signals cancel the run, so that the servers stop too. SIGPIPE means that the reader of the output has exited.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	if *feed {
		fail(runFeed(ctx, *rounds, *each))
		return
	}
	if *matrix {
		fail(onBothMachines(ctx, "", *cpus, 0, func(p programs) error {
			return runMatrix(ctx, os.Stdout, p, matrixConns, *rounds, *each)
		}))
		return
	}
	if *against != "" {
		fail(onBothMachines(ctx, *against, *cpus, *flush, func(p programs) error {
			return runAgainst(ctx, os.Stdout, p, *rounds, *each)
		}))
		return
	}
	fail(run(ctx, *rounds, *each, *plots, *openings))
}

// delayRounds is how many times longer than other measurements that of the feed's delay is, for enough refreshes.
const delayRounds = 10

// runFeed measures what the feed of revocations costs, and how late it is.
func runFeed(ctx context.Context, rounds int, each time.Duration) error {
	dir, err := os.MkdirTemp("", "pawl-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := testbin.BuildIn(dir)
	if err != nil {
		return err
	}
	printMachine(os.Stdout)
	if err := printFeed(ctx, os.Stdout, dir, binary, rounds, each); err != nil {
		return err
	}
	return printDelay(ctx, os.Stdout, binary, delayRounds*each)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, each time.Duration, plots string, openings bool) error {
	dir, err := os.MkdirTemp("", "pawl-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sessions := 64
	if plots != "" {
		sessions = maxConns
	}
	servers, err := startAll(ctx, dir, sessions)
	for _, s := range servers {
		defer s.stop()
	}
	switch {
	case err != nil:
		return err
	case plots != "":
		return writePlots(ctx, servers, each, plots)
	case openings:
		printMachine(os.Stdout)
		return printOpenings(ctx, os.Stdout, servers, rounds, each)
	}
	if err := printTable(ctx, os.Stdout, servers, rounds, each); err != nil {
		return err
	}
	return printOpenings(ctx, os.Stdout, servers, rounds, each)
}

// measure sends one kind of call as fast as possible.
func (s *server) measure(ctx context.Context, call bench.Call, conns int, each time.Duration) (bench.Result, error) {
	return s.run(ctx, bench.Plan{Conns: conns, Duration: each, Mix: bench.Only(call)})
}

func (s *server) run(ctx context.Context, p bench.Plan) (bench.Result, error) {
	p.PID, p.APIKey = s.pid, s.apiKey
	result, err := s.load.Run(ctx, p)
	if err != nil {
		return result, fmt.Errorf("%s: %w", s.name, err)
	}
	for _, c := range result.Calls {
		for code, n := range c.Errors {
			return result, fmt.Errorf("%s: %d responses were %s; the measurement is invalid", s.name, n, code)
		}
	}
	return result, nil
}

// logf prints progress to standard error.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
