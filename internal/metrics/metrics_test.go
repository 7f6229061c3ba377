package metrics_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/pawltest"
)

// TestOutcomes checks the outcomes of sign-ins and refreshes. It moves the clock, which the tests of the binary cannot.
func TestOutcomes(t *testing.T) {
	m := metrics.New("test")
	s := pawltest.New(t, pawltest.WithConfig(func(c *app.Config) { c.Metrics = m }))
	c := s.Client(client.WithRetries(0))
	login := func(name, passwd string, want error) string {
		t.Helper()
		got, err := c.Login(t.Context(), name, passwd)
		if !errors.Is(err, want) {
			t.Fatalf("sign-in: %v, want %v", err, want)
		}
		return got.Token
	}
	refresh := func(c *client.Client, token string, want error) {
		t.Helper()
		if _, err := c.RefreshWithIdempotencyKey(t.Context(), token, ""); !errors.Is(err, want) {
			t.Fatalf("refresh: %v, want %v", err, want)
		}
	}
	stolen := login(pawltest.Login, pawltest.Password, nil)
	expired := login(pawltest.Login, pawltest.Password, nil)
	stolenAndExpired := login(pawltest.Login, pawltest.Password, nil)
	refresh(c, stolen, nil)
	refresh(c, stolenAndExpired, nil)
	s.Clock.Add(time.Minute)
	refresh(c, stolen, client.ErrInvalidSession)
	refresh(c, stolen, client.ErrInvalidSession) // the session has ended
	s.Clock.Add(2 * time.Hour)
	refresh(c, expired, client.ErrInvalidSession)
	refresh(c, stolenAndExpired, client.ErrInvalidSession)
	refresh(c, "", client.ErrInvalidParameter)
	refresh(s.Client(client.WithRetries(0), client.WithAPIKey("pawl_x")), expired, client.ErrInvalidAPIKey)
	login(pawltest.Login, "", client.ErrInvalidParameter)
	for range 5 {
		login("unknown@example.com", "wrong", client.ErrInvalidCredentials)
	}
	login("unknown@example.com", "wrong", client.ErrRateLimitExceeded)

	expectLines(t, m,
		`pawl_refreshes_total{outcome="moved"} 2`,
		`pawl_refreshes_total{outcome="theft"} 2`,
		`pawl_refreshes_total{outcome="ended"} 1`,
		`pawl_refreshes_total{outcome="expired"} 1`,
		`pawl_refreshes_total{outcome="invalid"} 1`,
		`pawl_token_reuses_total 2`,
		`pawl_refreshes_total{outcome="key"} 1`,
		`pawl_logins_total{outcome="opened"} 3`,
		`pawl_logins_total{outcome="refused"} 5`,
		`pawl_logins_total{outcome="delayed"} 1`,
		`pawl_audit_events_total{kind="login"} 3`,
		`pawl_audit_events_total{kind="loginFailed"} 5`,
		`pawl_audit_events_total{kind="theft"} 2`,
		`pawl_audit_events_total{kind="refreshRefused"} 3`,
		`pawl_logins_total{outcome="invalid"} 1`,
		`pawl_build_info{go_version="`,
	)
}

// TestRoutes checks that each request is counted under its route, even if a limit or a gateway's path is handled first.
func TestRoutes(t *testing.T) {
	m := metrics.New("test")
	s := pawltest.New(t, pawltest.WithConfig(func(c *app.Config) {
		c.Metrics = m
		c.Limits.LoginRate = 1
		c.Limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}))
	admin := s.Client(client.WithRetries(0), client.WithAPIKey(s.AdminAPIKey))
	if _, err := admin.RotateSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := admin.Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Login(t.Context(), pawltest.Login, pawltest.Password); err == nil {
		t.Error("a second login in the same minute succeeded")
	}
	for _, token := range []string{got.Token, got.Token + "x"} {
		if _, err := admin.Introspect(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"/forward-auth", "/forward-auth/shop/4711", "/.well-known/jwks.json", "/v2//4711"} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	expectLines(t, m,
		`pawl_http_requests_total{code="200",method="POST",route="/v2/auth/login"} 1`,
		`pawl_http_requests_total{code="429",method="POST",route="/v2/auth/login"} 1`,
		`pawl_http_requests_total{code="200",method="POST",route="/v2/signing-keys/rotate"} 1`,
		`pawl_http_requests_total{code="200",method="POST",route="/oauth2/introspect"} 2`,
		`pawl_http_requests_total{code="200",method="GET",route="/.well-known/jwks.json"} 1`,
		`pawl_http_requests_total{code="401",method="GET",route="/forward-auth"} 2`,
		`pawl_http_requests_total{code="404",method="GET",route="other"} 1`,
		`pawl_introspections_total{active="true"} 1`,
		`pawl_introspections_total{active="false"} 1`,
		`pawl_signing_keys 2`,
		`pawl_audit_events_total{kind="signingKeyMade"} 1`,
	)
}

// TestStoreErrors checks that a failed read is counted, and a scrape works after the store is closed, as it may happen
// during a shutdown.
func TestStoreErrors(t *testing.T) {
	m, dir := metrics.New("test"), t.TempDir()
	a, err := app.Open(t.Context(), app.Config{Store: app.StoreAddress{Folder: dir}, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	expectLines(t, m, `pawl_store_errors_total 0`)
	conn, err := sqlite.OpenConn(filepath.Join(dir, "pawl.db"))
	if err == nil {
		err = errors.Join(sqlitex.ExecuteTransient(conn, "ALTER TABLE user RENAME TO lost", nil), conn.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Store.User(t.Context(), 1); err == nil {
		t.Fatal("the read succeeded without its table")
	}
	expectLines(t, m, `pawl_store_errors_total 1`)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	expectLines(t, m, `pawl_build_info`)
}

// TestGauges checks that each figure has its own name.
func TestGauges(t *testing.T) {
	m := metrics.New("test")
	m.Register(metrics.Gauges{
		Passwords:    func() (int, int) { return 2, 3 },
		SigningKeys:  func() int { return 4 },
		Audit:        func() (int, int64) { return 5, 6 },
		Sessions:     func(context.Context) (int64, bool) { return 7, true },
		LogLinesLost: func() int64 { return 8 },
	})
	expectLines(t, m,
		`pawl_password_checks_running 2`,
		`pawl_password_checks_waiting 3`,
		`pawl_signing_keys 4`,
		`pawl_audit_events_waiting 5`,
		`pawl_audit_events_lost_total 6`,
		`pawl_sessions 7`,
		`pawl_log_lines_lost_total 8`,
	)
}

// expectLines checks that a scrape has the lines, of which each may be the beginning of one.
func expectLines(t *testing.T, m *metrics.Metrics, lines ...string) {
	t.Helper()
	text := scrape(m)
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("the scrape has no %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Page().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// TestNilMetrics checks that a nil *Metrics can be used.
func TestNilMetrics(t *testing.T) {
	var m *metrics.Metrics
	m.Declare(metrics.Labels{AuditKinds: []string{"login"}})
	m.Register(metrics.Gauges{})
	m.Login("opened")
	m.Refresh("moved")
	m.TokenReuse()
	m.Introspection(true)
	m.AuditEvent("login")
	m.StoreCommit(1, time.Second)
	m.StoreRead(1, time.Second)
	m.StoreError()
	mux := http.NewServeMux()
	if got := m.Handler(mux); got != mux {
		t.Error("the handler was wrapped")
	}
	w := httptest.NewRecorder()
	m.Page().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("/metrics has status %d, want 404", w.Code)
	}
}
