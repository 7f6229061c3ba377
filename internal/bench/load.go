package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawlauth/pawl/api"
)

// Load is a server with open chains.
type Load struct {
	target target
	chains []*chain
}

// Open signs in once for each session, to open a chain. Each sign-in costs the server a password hash, so Open can take
// long. It calls progress, if not nil, after each sign-in.
func Open(ctx context.Context, url, login, password string, sessions int, progress func(string)) (*Load, error) {
	t, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	l := &Load{target: t, chains: make([]*chain, sessions)}
	const concurrent = 4 // more sign-ins at the same time would only wait in the server's queue
	group, running := errgroup.WithContext(ctx)
	var next, opened atomic.Int64
	for range min(concurrent, sessions) {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(sessions); i = next.Add(1) - 1 {
				token, err := l.signIn(running, api.LoginRequest{Login: login, Password: password})
				if err != nil {
					return err
				}
				l.chains[i] = &chain{token}
				n := opened.Add(1)
				if progress != nil {
					progress(fmt.Sprintf("signed in %d of %d", n, sessions))
				}
			}
			return nil
		})
	}
	return l, group.Wait()
}

// workers opens all connections and distributes the chains over them.
func (l *Load) workers(ctx context.Context, p Plan) ([]*worker, error) {
	workers := make([]*worker, 0, p.Conns)
	for i := range p.Conns {
		c, err := l.dial(ctx, p.APIKey)
		if err != nil {
			return workers, err
		}
		w := &worker{conn: c, mix: p.Mix, random: rand.New(rand.NewPCG(uint64(i), 1))}
		for call := range w.stats {
			w.stats[call] = newCallStats()
		}
		for n := i; n < len(l.chains); n += p.Conns {
			w.chains = append(w.chains, l.chains[n])
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// signIn opens one session. While the server is at capacity, it retries once a second.
func (l *Load) signIn(ctx context.Context, r api.LoginRequest) ([]byte, error) {
	for try := 0; ; try++ {
		got, err := l.login(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("sign in: %w", err)
		}
		if got.code == "" {
			return got.token, nil
		}
		busy := got.status == http.StatusServiceUnavailable || got.status == http.StatusTooManyRequests
		if !busy || try == 60 {
			return nil, fmt.Errorf("the sign-in returned %d %s: %s", got.status, got.code, got.message)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
