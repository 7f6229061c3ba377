package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/bench"
)

// printDelay measures how long after the response to a refresh a verifier still accepts the superseded token. The
// refresh is at the first of three nodes, and the verifier follows the second, while all of them answer refreshes.
func printDelay(ctx context.Context, out io.Writer, binary string, each time.Duration) error {
	nodes, err := startNodes(binary, 3)
	if err != nil {
		return err
	}
	defer nodes[0].stop()
	for _, s := range nodes {
		if s.load, err = bench.Open(ctx, s.url, s.login, s.password, tableConns, nil); err != nil {
			return err
		}
	}
	follower, err := client.New(nodes[1].url, client.WithAPIKey(nodes[1].apiKey))
	if err != nil {
		return err
	}
	verifier := client.NewVerifier(follower, client.VerifierConfig{})
	defer verifier.Close()
	if err := verifier.WaitReady(ctx); err != nil {
		return err
	}
	loaded, stop := context.WithCancel(ctx)
	defer stop()
	finished := make(chan error, 1)
	go func() {
		_, err := fleet(nodes).refreshes(loaded, each)
		finished <- err
		stop()
	}()
	delays, err := delaysOf(loaded, nodes[0], verifier)
	if loadErr := <-finished; loadErr != nil {
		return loadErr
	}
	if err != nil && loaded.Err() == nil {
		return err
	}
	if len(delays) == 0 {
		return fmt.Errorf("no refresh was measured within %s", each)
	}
	slices.Sort(delays)
	at := func(share float64) time.Duration {
		return delays[int(share*float64(len(delays)-1))].Round(time.Millisecond)
	}
	fmt.Fprintf(out, "\nFrom the response of a refresh to the rejection by a verifier at another node, PostgreSQL, "+
		"3 nodes, %d connections\n\n| refreshes | p50 | p99 | longest |\n|---|---|---|---|\n| %d | %v | %v | %v |\n",
		tableConns, len(delays), at(.5), at(.99), at(1))
	return nil
}

// delaysOf refreshes a session at a node until ctx ends, and returns for how long the verifier still accepted each
// superseded token.
func delaysOf(ctx context.Context, s *server, verifier *client.Verifier) (delays []time.Duration, err error) {
	c, err := client.New(s.url)
	if err != nil {
		return nil, err
	}
	token, err := c.Login(ctx, s.login, s.password)
	for err == nil {
		if _, err := verifier.Verify(ctx, token.Token); err != nil {
			return delays, fmt.Errorf("the verifier rejects a current token: %w", err)
		}
		old := token.Token
		if token, err = c.Refresh(ctx, old); err != nil {
			return delays, err
		}
		answered := time.Now()
		for {
			if _, err := verifier.Verify(ctx, old); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if ctx.Err() != nil {
			return delays, nil // the verifier's error was that of ctx
		}
		delays = append(delays, time.Since(answered))
	}
	return delays, err
}
