package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawlauth/pawl/internal/bench"
)

// fleet is a number of nodes on one store.
type fleet []*server

// pair is two equal fleets. Only one has followers, because a node publishes for a while after they have left.
type pair struct {
	name        string
	plain, feed fleet
}

// newPair starts two fleets, and opens sessions on them.
func newPair(ctx context.Context, name string, start func() (fleet, error)) (p pair, err error) {
	p.name = name
	for _, f := range []*fleet{&p.plain, &p.feed} {
		if *f, err = start(); err != nil {
			return p, err
		}
		for _, s := range *f {
			if s.load, err = bench.Open(ctx, s.url, s.login, s.password, tableConns, nil); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func (p pair) stop() {
	for _, f := range []fleet{p.plain, p.feed} {
		if len(f) > 0 {
			f[0].stop()
		}
	}
}

// printFeed measures what the feed of revocations costs refreshes, and what a bound saves checks.
func printFeed(ctx context.Context, out io.Writer, dir, binary string, rounds int, each time.Duration) error {
	fmt.Fprintf(out, "\nRefreshes a second with followers of the first node's feed, %d connections, %d rounds of %s, "+
		"medians (least to most)\n\n| server | followers | without | with | ratio |\n|---|---|---|---|---|\n",
		tableConns, rounds, each)
	starts := map[string]func() (fleet, error){
		"SQLite": func() (fleet, error) {
			dir, err := os.MkdirTemp(dir, "sqlite")
			if err != nil {
				return nil, err
			}
			s, err := startSQLite(binary, dir)
			return fleet{s}, err
		},
		"PostgreSQL, 1 node":  func() (fleet, error) { return startNodes(binary, 1) },
		"PostgreSQL, 3 nodes": func() (fleet, error) { return startNodes(binary, 3) },
	}
	for _, name := range []string{"SQLite", "PostgreSQL, 1 node", "PostgreSQL, 3 nodes"} {
		for _, followers := range []int{1, 100} {
			p, err := newPair(ctx, name, starts[name])
			if err == nil {
				err = p.printFollowed(ctx, out, followers, rounds, each)
			}
			p.stop()
			if err != nil {
				return err
			}
		}
	}
	like, err := startSQLite(binary, dir)
	if err != nil {
		return err
	}
	defer like.stop()
	return printBound(ctx, out, like, binary, rounds, each)
}

// printFollowed measures refreshes without and with followers, in turn.
func (p pair) printFollowed(ctx context.Context, out io.Writer, followers, rounds int, each time.Duration) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	if err := p.feed[0].follow(following, followers); err != nil {
		return err
	}
	var without, with, ratios []float64
	for round := range rounds + 1 {
		alone, err := p.plain.refreshes(ctx, each)
		if err != nil {
			return err
		}
		followed, err := p.feed.refreshes(ctx, each)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // it warms up
		}
		without, with = append(without, alone), append(with, followed)
		ratios = append(ratios, followed/alone)
		logf("round %d of %d: %-20s %4d followers: %6.0f without, %6.0f with", round, rounds, p.name, followers, alone,
			followed)
	}
	fmt.Fprintf(out, "| %s | %d | %.0f | %.0f | %.2f (%.2f to %.2f) |\n", p.name, followers, median(without),
		median(with), median(ratios), slices.Min(ratios), slices.Max(ratios))
	return nil
}

// refreshes returns how many refreshes a second all nodes make together.
func (f fleet) refreshes(ctx context.Context, each time.Duration) (perSecond float64, err error) {
	results := make([]bench.Result, len(f))
	group, running := errgroup.WithContext(ctx)
	for i, s := range f {
		group.Go(func() (err error) {
			results[i], err = s.measure(running, bench.Refresh, tableConns/len(f), each)
			return err
		})
	}
	err = group.Wait()
	for _, r := range results {
		perSecond += r.PerSecond
	}
	return perSecond, err
}

// follow begins to follow the feed of a server until ctx ends, and discards what it reads.
func (s *server) follow(ctx context.Context, followers int) error {
	connections := &http.Client{Transport: &http.Transport{ReadBufferSize: 64 << 10}}
	for range followers {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v2/revocations", nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-API-Key", s.apiKey)
		resp, err := connections.Do(req)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the feed answered %s", resp.Status)
		}
		go func() {
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body) // until ctx ends
		}()
	}
	return nil
}

// printBound measures the checks of a node with a bound of 1 s, beside the floor.
func printBound(
	ctx context.Context, out io.Writer, like *server, binary string, rounds int, each time.Duration,
) error {
	floor, err := startFloor(ctx, like)
	if err != nil {
		return err
	}
	defer floor.stop()
	fmt.Fprintf(out, "\nChecks a second on PostgreSQL\n\n| bound | checks a second | of the floor |\n|---|---|---|\n")
	if floor.load, err = bench.Open(ctx, floor.url, floor.login, floor.password, tableConns, nil); err != nil {
		return err
	}
	for _, bound := range []string{"0s", "1s"} {
		nodes, err := startNodes(binary, 1, "PAWL_VERIFY_STALENESS="+bound)
		if err != nil {
			return err
		}
		defer nodes[0].stop()
		s := nodes[0]
		if s.load, err = bench.Open(ctx, s.url, s.login, s.password, tableConns, nil); err != nil {
			return err
		}
		var rates, ratios []float64
		for range rounds {
			base, err := floor.measure(ctx, bench.Session, tableConns, each)
			if err != nil {
				return err
			}
			result, err := s.measure(ctx, bench.Session, tableConns, each)
			if err != nil {
				return err
			}
			rates = append(rates, result.PerSecond)
			ratios = append(ratios, result.PerSecond/base.PerSecond)
		}
		fmt.Fprintf(out, "| %s | %.0f | %.2f (%.2f to %.2f) |\n", bound, median(rates), median(ratios),
			slices.Min(ratios), slices.Max(ratios))
	}
	return nil
}
