package metrics_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/pawltest"
)

// TestOutcomes moves the clock, as test/observe cannot: theft, and a token whose
// time is over, alone and together.
func TestOutcomes(t *testing.T) {
	m := metrics.New("test")
	s := pawltest.New(t, func(c *app.Config) { c.Metrics = m })
	c := client.New(s.URL, client.WithRetries(0))
	login := func() api.Token {
		got, err := c.Login(t.Context(), pawltest.Login, pawltest.Password)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	refresh := func(token string, want error) {
		t.Helper()
		if _, err := c.RefreshWithKey(t.Context(), token, ""); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	stolen, forgotten, both := login().Token, login().Token, login().Token
	refresh(stolen, nil)
	refresh(both, nil)
	s.Clock.Add(time.Minute)
	refresh(stolen, client.ErrInvalidSession)
	refresh(stolen, client.ErrInvalidSession) // its session is gone
	s.Clock.Add(2 * time.Hour)
	refresh(forgotten, client.ErrInvalidSession)
	refresh(both, client.ErrInvalidSession)
	if _, err := c.Login(t.Context(), pawltest.Login, ""); err == nil {
		t.Error("a login without a password")
	}

	text := scrape(m)
	for _, line := range []string{
		`pawl_refreshes_total{outcome="moved"} 2`,
		`pawl_refreshes_total{outcome="theft"} 2`,
		`pawl_refreshes_total{outcome="ended"} 1`,
		`pawl_refreshes_total{outcome="expired"} 1`,
		`pawl_token_reuses_total 2`,
		`pawl_logins_total{outcome="opened"} 3`,
		`pawl_logins_total{outcome="invalid"} 1`,
		`pawl_build_info{go_version="`,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("the scrape does not have %s\n%s", line, text)
		}
	}
}

func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Page().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}
