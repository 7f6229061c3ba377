//go:build unix

// Package e2e_test runs the real binary from outside: signals, kills, restarts.
package e2e_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

func login(t *testing.T, dev *testbin.Dev) string {
	t.Helper()
	got, err := testbin.Client(t, dev.Env["PAWL_URL"]).Login(t.Context(), dev.Env["PAWL_LOGIN"], dev.Env["PAWL_PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	return got.Token
}

// refresh tries once, as a client that does not know of Idempotency-Key: a
// token whose refresh was seen must be dead.
func refresh(ctx context.Context, dev *testbin.Dev, token string) (string, error) {
	c, err := client.New(dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["ECGRID_API_KEY"]), client.WithRetries(0))
	if err != nil {
		return "", err
	}
	got, err := c.RefreshWithIdempotencyKey(ctx, token, "")
	return got.Token, err
}

// good reports whether a token passes as a bearer.
func good(t *testing.T, dev *testbin.Dev, token string) bool {
	t.Helper()
	_, err := testbin.Client(t, dev.Env["PAWL_URL"], client.WithBearer(token)).Session(t.Context())
	if errors.Is(err, client.ErrInvalidSession) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// TestKilled kills the server with -9 right after a 200, ten times, under load.
func TestKilled(t *testing.T) {
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	dev := testbin.StartDev(t, binary, data)
	old, key := login(t, dev), dev.Env["ECGRID_API_KEY"]
	for round := range 10 {
		load, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 8 {
			chain := login(t, dev)
			group.Go(func() {
				for err := error(nil); err == nil && load.Err() == nil; {
					chain, err = refresh(load, dev, chain)
				}
			})
		}
		fresh, err := refresh(t.Context(), dev, old)
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = dev.Wait() // it says that it was killed
		stop()
		group.Wait()
		dev = testbin.StartDev(t, binary, data)
		if dev.Env["ECGRID_API_KEY"] != key {
			t.Fatal("the key changed over a restart")
		}
		if !good(t, dev, fresh) || good(t, dev, old) {
			t.Fatalf("round %d: the new token or the old one is not as the answer said", round)
		}
		old = fresh
	}
}

// TestDrain sends SIGTERM under load: every refresh that was answered holds,
// and the exit code is 0 in less than 10 seconds.
func TestDrain(t *testing.T) {
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	dev := testbin.StartDev(t, binary, data)
	var group sync.WaitGroup
	last := make([]string, 8)
	for i := range last {
		last[i] = login(t, dev)
		group.Go(func() {
			for {
				next, err := refresh(t.Context(), dev, last[i])
				if err != nil {
					return
				}
				last[i] = next
			}
		})
	}
	if err := dev.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- dev.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it still runs 10 seconds after SIGTERM")
	}
	group.Wait()
	dev = testbin.StartDev(t, binary, data)
	for _, token := range last {
		if !good(t, dev, token) {
			t.Error("an answered refresh is lost")
		}
	}
}
