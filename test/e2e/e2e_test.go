//go:build unix

// Package e2e_test tests the real binary from outside: signals, kills, restarts, full disks, damaged files, slow
// clients, imports and TLS.
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

func TestMain(m *testing.M) { testbin.Main(m) }

func login(t *testing.T, dev *testbin.Dev) string {
	t.Helper()
	c := testbin.Client(t, dev.Env["PAWL_URL"])
	got, err := c.Login(t.Context(), dev.Env["PAWL_LOGIN"], dev.Env["PAWL_PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	return got.Token
}

// refresh sends one request without an Idempotency-Key, so that the server cannot replay it.
func refresh(ctx context.Context, dev *testbin.Dev, token string) (string, error) {
	c, err := client.New(dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["ECGRID_API_KEY"]), client.WithRetries(0))
	if err != nil {
		return "", err
	}
	got, err := c.RefreshWithIdempotencyKey(ctx, token, "")
	return got.Token, err
}

// isValid reports whether the server accepts a bearer token.
func isValid(t *testing.T, dev *testbin.Dev, token string) bool {
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

// TestKilled kills the server ten times with SIGKILL under load, each time immediately after a refresh was answered.
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
		dev.Kill()
		stop()
		group.Wait()
		dev = testbin.StartDev(t, binary, data)
		if dev.Env["ECGRID_API_KEY"] != key {
			t.Fatal("the API key has changed after a restart")
		}
		if !isValid(t, dev, fresh) {
			t.Fatalf("round %d: the acknowledged refresh is lost", round)
		}
		if isValid(t, dev, old) {
			t.Fatalf("round %d: the server accepts the superseded token", round)
		}
		old = fresh
	}
}

// TestDrain sends SIGTERM under load. The server must exit with 0 within 10 seconds, and no acknowledged refresh may
// get lost.
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
		t.Fatal("the server is still running 10 seconds after SIGTERM")
	}
	group.Wait()
	dev = testbin.StartDev(t, binary, data)
	for _, token := range last {
		if !isValid(t, dev, token) {
			t.Error("an acknowledged refresh is lost")
		}
	}
}
