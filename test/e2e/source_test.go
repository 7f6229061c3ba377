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

// killingTransport sends requests to the server's current address, and kills the server during some of them.
type killingTransport struct {
	dev   atomic.Pointer[testbin.Dev]
	kills atomic.Int64 // how many of the next requests are killed
}

func (m *killingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	dev := m.dev.Load()
	address, err := url.Parse(dev.Env["PAWL_URL"])
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Host = address.Host
	if m.kills.Add(-1) >= 0 {
		// The kill comes before, during or after the commit.
		kill := time.AfterFunc(rand.N(3*time.Millisecond), func() { _ = dev.Process.Kill() })
		defer kill.Stop()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// restart kills the server and starts it again on the same folder.
func (m *killingTransport) restart(t *testing.T, binary, data string) {
	t.Helper()
	m.dev.Load().Kill()
	m.dev.Store(testbin.StartDev(t, binary, data))
}

// TestSourceThroughKills kills the server during each refresh of a token source without a password. The source must
// never lose its session, and the session's generation must go up by one for each refresh.
func TestSourceThroughKills(t *testing.T) {
	const rounds = 12
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	m := new(killingTransport)
	m.dev.Store(testbin.StartDev(t, binary, data))
	c := testbin.Client(t, "http://pawl.example",
		client.WithHTTPClient(&http.Client{Transport: m}), client.WithRetries(0))
	kept, err := c.Login(t.Context(), m.dev.Load().Env["PAWL_LOGIN"], m.dev.Load().Env["PAWL_PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for range rounds {
		old := kept.Token
		var ahead time.Duration
		s := client.NewTokenSource(c, client.TokenConfig{
			Token:     kept,
			OnRefresh: func(next api.Token) error { kept = next; return nil },
			Clock:     func() time.Time { return time.Now().Add(ahead) },
		})
		ahead = 2 * time.Hour // forces a refresh
		m.kills.Store(1)
		for {
			_, err := s.TokenContext(context.WithoutCancel(t.Context()))
			if kept.Token != old {
				break
			}
			if err == nil {
				t.Fatal("the source returns the expired token")
			}
			lost++
			m.restart(t, binary, data)
			ahead += time.Minute // skips the pause after a failure
		}
		m.restart(t, binary, data)
		if !isValid(t, m.dev.Load(), kept.Token) {
			t.Fatal("the server rejects the source's token")
		}
		if isValid(t, m.dev.Load(), old) {
			t.Fatal("the server accepts the superseded token")
		}
	}
	sessions, err := c.With(client.WithBearer(kept.Token)).Sessions(t.Context(), api.SessionsRequest{})
	if err != nil || len(sessions) != 1 || sessions[0].Refreshes != rounds {
		t.Errorf("%+v, %v; want one session after %d refreshes", sessions, err, rounds)
	}
	t.Logf("%d responses were lost", lost)
}
