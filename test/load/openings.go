package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

const (
	openingConns = 16
	openingUsers = 1000 // the sessions are spread over so many users, as in real life
)

// openings opens sessions of one server in two ways.
type openings struct {
	login, open func(ctx context.Context, n int64) error

	logins, opens, ratios []float64 // a second, one for each round
}

// newOpenings creates the API key of a backend that has authenticated its users itself.
func newOpenings(ctx context.Context, s *server) (*openings, error) {
	connections := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: openingConns}}
	c, err := client.New(s.url, client.WithHTTPClient(connections))
	if err != nil {
		return nil, err
	}
	token, err := c.Login(ctx, s.login, s.password)
	if err != nil {
		return nil, err
	}
	key, err := c.With(client.WithBearer(token.Token)).CreateAPIKey(ctx, api.CreateAPIKeyRequest{
		UserID: token.UserID, Visibility: api.VisibilityPrivate, Scope: api.ScopeOpenSessions,
	})
	if err != nil {
		return nil, err
	}
	backend := c.With(client.WithAPIKey(key.Key))
	return &openings{
		login: func(ctx context.Context, _ int64) error {
			_, err := c.Login(ctx, s.login, s.password)
			return err
		},
		open: func(ctx context.Context, n int64) error {
			id := "load-" + strconv.FormatInt(n%openingUsers, 10)
			_, err := backend.OpenSession(ctx, api.OpenSessionRequest{
				ExternalID: id, User: &api.CreateUserRequest{Login: id},
			})
			return err
		},
	}, nil
}

// printOpenings measures sign-ins with a password and sessions opened by a backend. Each store does both in turn, in
// rounds, and a ratio is taken within a round.
func printOpenings(ctx context.Context, out io.Writer, servers []*server, rounds int, each time.Duration) error {
	fmt.Fprintf(out, "\nSessions opened a second, %d connections, %d rounds of %s, medians (least to most)\n\n",
		openingConns, rounds, each)
	fmt.Fprintln(out, "| server | login | sessions/open | times the login's |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, s := range servers {
		if s.name == floorName {
			continue
		}
		o, err := newOpenings(ctx, s)
		if err == nil {
			err = o.measure(ctx, s, rounds, each)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f (%.0f to %.0f) |\n", s.name, median(o.logins), median(o.opens),
			median(o.ratios), slices.Min(o.ratios), slices.Max(o.ratios))
	}
	return nil
}

func (o *openings) measure(ctx context.Context, s *server, rounds int, each time.Duration) error {
	users, running := errgroup.WithContext(ctx) // a later open finds the user
	users.SetLimit(openingConns)
	for n := range int64(openingUsers) {
		users.Go(func() error { return o.open(running, n) })
	}
	if err := users.Wait(); err != nil {
		return err
	}
	for round := range rounds {
		login, err := rate(ctx, each, o.login)
		if err != nil {
			return err
		}
		open, err := rate(ctx, each, o.open)
		if err != nil {
			return err
		}
		o.logins = append(o.logins, login)
		o.opens = append(o.opens, open)
		o.ratios = append(o.ratios, open/login)
		logf("round %d of %d: openings %-10s %6.0f logins, %6.0f opens a second", round+1, rounds, s.name, login, open)
	}
	return nil
}

// rate repeats a call on all connections, and returns how many calls succeeded a second. The first failure ends it.
func rate(ctx context.Context, each time.Duration, call func(ctx context.Context, n int64) error) (float64, error) {
	var started atomic.Int64
	begin := time.Now()
	group, running := errgroup.WithContext(ctx)
	for range openingConns {
		group.Go(func() error {
			for time.Since(begin) < each {
				if err := call(running, started.Add(1)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(started.Load()) / time.Since(begin).Seconds(), err
}
