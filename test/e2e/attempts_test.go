//go:build linux

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// signIns is a server whose password hashes take long, so that the test can interrupt them.
type signIns struct {
	*served
	args []string
}

// onEachStore runs a test with a server on each store.
func onEachStore(t *testing.T, test func(*signIns)) {
	binary := testbin.Build(t)
	start := func(t *testing.T, env []string, args ...string) {
		t.Helper()
		args = append(args, "--password-memory", "65536", "--password-passes", "8")
		created := testbin.Init(t, binary, env, args...)
		server := &served{T: t, binary: binary, password: created.Password, env: env}
		s := &signIns{served: server, args: args}
		s.start()
		test(s)
	}
	t.Run("SQLite", func(t *testing.T) { start(t, nil, "--data", filepath.Join(t.TempDir(), "data")) })
	t.Run("PostgreSQL", func(t *testing.T) {
		cluster := pgtest.Start(t)
		start(t, []string{"PAWL_STORE=" + cluster.DSN(cluster.Database(t)), "PAWL_MASTER_KEY=" + seal.NewKey()})
	})
}

func (s *signIns) start() {
	s.Helper()
	s.Server = testbin.StartServe(s.T, s.binary, s.env, append(s.args, "--metrics-addr", "127.0.0.1:0")...)
}

// hashes returns the number of password hashes that run or wait.
func (s *signIns) hashes() (n int) {
	s.Helper()
	for line := range strings.Lines(s.scrape()) {
		var count int
		for _, name := range []string{"running", "waiting"} {
			if _, err := fmt.Sscanf(line, "pawl_password_checks_"+name+" %d", &count); err == nil {
				n += count
			}
		}
	}
	return n
}

// TestKilledSignIns kills the server again and again while a sign-in with the right password is in progress. The
// sign-ins do not count as failures, so the one after that succeeds.
func TestKilledSignIns(t *testing.T) {
	onEachStore(t, func(s *signIns) {
		for range 6 {
			ended := make(chan error, 1)
			go func() { _, err := s.login(); ended <- err }()
			await(s.T, "a password hash", func() bool { return s.hashes() == 1 || len(ended) == 1 })
			s.Kill()
			if err := <-ended; errors.Is(err, client.ErrRateLimitExceeded) {
				s.Fatal(err)
			}
			s.start()
		}
		s.mustLogin()
	})
}

// TestCutSignIns cuts the connection of each sign-in while its wrong password is checked. The attempts count as
// failures, so that one of the next ones has to wait.
func TestCutSignIns(t *testing.T) {
	onEachStore(t, func(s *signIns) {
		for attempts := 0; ; attempts++ {
			if attempts == 20 {
				s.Fatal("20 sign-ins with cut connections need not wait")
			}
			ctx, cut := context.WithCancel(s.Context())
			ended := make(chan error, 1)
			go func() { _, err := s.once().Login(ctx, admin, "wrong"); ended <- err }()
			await(s.T, "a password hash", func() bool { return s.hashes() == 1 || len(ended) == 1 })
			cut()
			switch err := <-ended; {
			case errors.Is(err, client.ErrRateLimitExceeded) && attempts >= 5:
				return
			case errors.Is(err, client.ErrInvalidCredentials): // answered before the cut
			case !errors.Is(err, context.Canceled):
				s.Fatalf("sign-in %d with a cut connection: %v", attempts, err)
			}
			await(s.T, "the end of the hash", func() bool { return s.hashes() == 0 })
		}
	})
}
