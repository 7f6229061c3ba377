//go:build unix

package e2e_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// moving sends requests to wherever the server is now, and kills it in the
// middle of those that are to be cut.
type moving struct {
	dev atomic.Pointer[testbin.Dev]
	cut atomic.Int64 // how many requests are still to be cut
}

func (m *moving) RoundTrip(r *http.Request) (*http.Response, error) {
	dev := m.dev.Load()
	at, err := url.Parse(dev.Env["PAWL_URL"])
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Host = at.Host
	if m.cut.Add(-1) >= 0 {
		kill := time.AfterFunc(rand.N(3*time.Millisecond), func() { _ = dev.Process.Kill() }) // before, in, or after the commit
		defer kill.Stop()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestSourceThroughKills kills the server in the middle of each renewal: a
// source that has no password never loses its session, and each renewal turns
// it by one notch.
func TestSourceThroughKills(t *testing.T) {
	const rounds = 12
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	m := new(moving)
	m.dev.Store(testbin.StartDev(t, binary, data))
	c := testbin.Client(t, "http://pawl.example", client.WithHTTPClient(&http.Client{Transport: m}), client.WithRetries(0))
	kept, err := c.Login(t.Context(), m.dev.Load().Env["PAWL_LOGIN"], m.dev.Load().Env["PAWL_PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for range rounds {
		old := kept.Token
		var ahead time.Duration
		s := client.NewTokenSource(c, client.TokenConfig{Token: kept, OnRefresh: func(next api.Token) error { kept = next; return nil },
			Clock: func() time.Time { return time.Now().Add(ahead) }})
		ahead = 2 * time.Hour // so that the token must be renewed
		m.cut.Store(1)
		for {
			_, err := s.TokenContext(context.WithoutCancel(t.Context()))
			if kept.Token != old {
				break
			}
			if err == nil {
				t.Fatal("the old token was given out")
			}
			lost++
			_ = m.dev.Load().Process.Kill()
			_ = m.dev.Load().Wait()
			m.dev.Store(testbin.StartDev(t, binary, data))
			ahead += time.Minute // past the pause after a failure
		}
		_ = m.dev.Load().Process.Kill()
		_ = m.dev.Load().Wait()
		m.dev.Store(testbin.StartDev(t, binary, data))
		if !good(t, m.dev.Load(), kept.Token) || good(t, m.dev.Load(), old) {
			t.Fatal("the new token or the old one is not as the source has it")
		}
	}
	sessions, err := c.With(client.WithBearer(kept.Token)).Sessions(t.Context(), api.SessionsRequest{})
	if err != nil || len(sessions) != 1 || sessions[0].Refreshes != rounds {
		t.Errorf("%+v, %v; want one session after %d refreshes", sessions, err, rounds)
	}
	t.Logf("%d answers were lost", lost)
}
