package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// variant is a way to run a Pawl on SQLite.
type variant struct {
	name  string
	flags []string
}

// variants are the algorithms, and HS256 with each choice of the fast lane.
var variants = []variant{
	{name: "HS256, lane", flags: []string{"--fast-lane", "on"}},
	{name: "HS256", flags: []string{"--fast-lane", "off"}},
	{name: "EdDSA", flags: []string{"--algorithm", "EdDSA", "--fast-lane", "on"}},
	{name: "ES256", flags: []string{"--algorithm", "ES256", "--fast-lane", "on"}},
	{name: "RS256", flags: []string{"--algorithm", "RS256", "--fast-lane", "on"}},
}

// matrixConns are the numbers of connections.
var matrixConns = []int{1, 8, 64, 256}

// cheapHashes make the sign-ins before the measurement fast.
var cheapHashes = []string{"--password-memory", "8", "--password-passes", "1"}

// startVariants starts the floor, which is the first result, and a Pawl of each variant, and opens sessions on each. If
// a server does not start, startVariants also returns the running servers.
func startVariants(ctx context.Context, dir string) ([]*server, error) {
	binary, err := testbin.BuildIn(dir)
	if err != nil {
		return nil, err
	}
	var servers []*server
	for _, v := range variants {
		dev, err := testbin.RunDev(binary, filepath.Join(dir, v.name), append(v.flags, cheapHashes...)...)
		if err != nil {
			return servers, fmt.Errorf("%s: %w", v.name, err)
		}
		servers = append(servers, &server{
			name: v.name, url: dev.Env["PAWL_URL"], login: dev.Env["PAWL_LOGIN"], password: dev.Env["PAWL_PASSWORD"],
			apiKey: dev.Env["PAWL_API_KEY"], pid: dev.Process.Pid, stop: dev.Kill,
		})
	}
	floor, err := startFloor(ctx, servers[0])
	if err != nil {
		return servers, err
	}
	servers = append([]*server{floor}, servers...)
	for _, s := range servers {
		logf("%s: opening sessions", s.name)
		s.load, err = bench.Open(ctx, s.url, s.login, s.password, matrixConns[len(matrixConns)-1], nil)
		if err != nil {
			return servers, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return servers, nil
}

// runMatrix measures each variant with each number of connections.
func runMatrix(ctx context.Context, out io.Writer, rounds int, each time.Duration) error {
	dir, err := os.MkdirTemp("", "pawl-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, err := startVariants(ctx, dir)
	for _, s := range servers {
		defer s.stop()
	}
	if err != nil {
		return err
	}
	printMachine(out)
	fmt.Fprintf(out, "SQLite, %d rounds of %s, medians\n\n", rounds, each)
	fmt.Fprintln(out, "| call | connections | server | requests a second "+
		"| server CPU, µs a request | times the floor's | p50 ms | p99 ms |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	for _, conns := range matrixConns {
		if err := printMatrixPart(ctx, out, servers, conns, rounds, each); err != nil {
			return err
		}
	}
	return nil
}

// printMatrixPart measures all servers with one number of connections, in rounds.
func printMatrixPart(
	ctx context.Context, out io.Writer, servers []*server, conns, rounds int, each time.Duration,
) error {
	both := []bench.Call{bench.Session, bench.Refresh}
	cells := map[string]*cell{}
	for round := range rounds {
		for _, call := range both {
			for _, s := range servers {
				result, err := s.measure(ctx, call, conns, each)
				if err != nil {
					return err
				}
				add(cells, call, s, result)
				logf("%d connections, round %d of %d: %-8s %-12s %9.0f a second", conns, round+1, rounds, call, s.name,
					result.PerSecond)
			}
		}
	}
	for _, call := range both {
		for _, s := range servers {
			c := cells[key(call, s)]
			fmt.Fprintf(out, "| %s | %d | %s | %.0f | %.1f | %.2f | %.2f | %.2f |\n", call, conns, s.name,
				median(c.perSecond), median(c.cpu), median(c.cpuRatio), median(c.p50), median(c.p99))
		}
	}
	return nil
}
