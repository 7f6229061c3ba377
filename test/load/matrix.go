package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
)

// variant is a way to run a Pawl.
type variant struct {
	store               string // a name in stores
	algorithm, fastLane string
}

func (v variant) name() string {
	name := v.store + ", " + v.algorithm
	if v.fastLane == "off" {
		name += ", no lane"
	}
	return name
}

// variants are the algorithms on each store, and HS256 without the fast lane.
func variants() (all []variant) {
	for _, s := range stores {
		for _, algorithm := range []string{"HS256", "EdDSA", "ES256", "RS256"} {
			all = append(all, variant{store: s.name, algorithm: algorithm, fastLane: "on"})
			if algorithm == "HS256" {
				all = append(all, variant{store: s.name, algorithm: algorithm, fastLane: "off"})
			}
		}
	}
	return all
}

// matrixConns are the numbers of connections.
var matrixConns = []int{1, 8, 64, 256}

// matrixCalls are the calls of the matrix, with the names of their tables.
var matrixCalls = []struct {
	call  bench.Call
	title string
}{{bench.Session, "Checks (`session`)"}, {bench.Refresh, "Refreshes (`refresh`)"}}

// cheapHashes make the sign-ins before the measurement fast.
var cheapHashes = []string{"password-memory=8", "password-passes=1"}

// startVariants starts the floor, which is the first result, and a Pawl of each variant, and opens sessions on each. If
// a server does not start, startVariants also returns the running servers.
func startVariants(ctx context.Context, dir string, p programs, sessions int) ([]*server, error) {
	var servers []*server
	for i, v := range variants() {
		settings := append([]string{"algorithm=" + v.algorithm, "fast-lane=" + v.fastLane}, cheapHashes...)
		s, err := startStore(v.store, p.binary, filepath.Join(dir, fmt.Sprint("store", i)), settings)
		if err != nil {
			return servers, fmt.Errorf("%s: %w", v.name(), err)
		}
		s.name = v.name()
		servers = append(servers, s)
	}
	floor, err := startFloor(ctx, servers[0], p.pin...)
	if err != nil {
		return servers, err
	}
	servers = append([]*server{floor}, servers...)
	return servers, openAll(ctx, servers, sessions)
}

// startStore starts a Pawl on a store, with settings of the form name=value.
func startStore(store, binary, dir string, settings []string) (*server, error) {
	for _, s := range stores {
		if s.name == store {
			return s.start(binary, dir, settings...)
		}
	}
	return nil, fmt.Errorf("no store %q", store)
}

// runMatrix measures each variant with these numbers of connections, in ascending order.
func runMatrix(
	ctx context.Context, out io.Writer, p programs, allConns []int, rounds int, each time.Duration,
) error {
	dir, err := os.MkdirTemp("", "pawl-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, err := startVariants(ctx, dir, p, allConns[len(allConns)-1])
	for _, s := range servers {
		defer s.stop()
	}
	if err != nil {
		return err
	}
	parts := map[int]map[string]*cell{} // by number of connections
	for _, conns := range allConns {
		if parts[conns], err = measureMatrixPart(ctx, servers, conns, rounds, each); err != nil {
			return err
		}
	}
	for _, call := range matrixCalls {
		fmt.Fprintf(out, "\n%s, %s, %d rounds of %s, medians: requests a second; server CPU over the floor's; "+
			"p99 in ms\n\n| connections |", call.title, p.machine, rounds, each)
		for _, conns := range allConns {
			fmt.Fprintf(out, " %d |", conns)
		}
		fmt.Fprintf(out, "\n|---%s|\n", strings.Repeat("|---", len(allConns)))
		for _, s := range servers {
			fmt.Fprintf(out, "| %s |", s.name)
			for _, conns := range allConns {
				c := parts[conns][key(call.call, s)]
				cpu := fmt.Sprintf("%.2f", median(c.cpuRatio))
				if s.name == floorName {
					cpu = fmt.Sprintf("%.1f µs", median(c.cpu))
				}
				fmt.Fprintf(out, " %.0f; %s; %.2f |", median(c.perSecond), cpu, median(c.p99))
			}
			fmt.Fprintln(out)
		}
	}
	return nil
}

// measureMatrixPart measures all servers with one number of connections, in rounds.
func measureMatrixPart(
	ctx context.Context, servers []*server, conns, rounds int, each time.Duration,
) (map[string]*cell, error) {
	cells := map[string]*cell{}
	for round := range rounds {
		for _, call := range matrixCalls {
			for _, s := range servers {
				result, err := s.measure(ctx, call.call, conns, each)
				if err != nil {
					return nil, err
				}
				add(cells, call.call, s, result)
				logf("%d connections, round %d of %d: %-8s %-20s %9.0f a second", conns, round+1, rounds, call.call,
					s.name, result.PerSecond)
			}
		}
	}
	return cells, nil
}
