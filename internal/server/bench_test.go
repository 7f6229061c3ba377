package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/pawltest"
)

// silent is an http.ResponseWriter with almost no cost.
type silent struct {
	header http.Header
	status int
	body   []byte
}

func (s *silent) Header() http.Header { return s.header }
func (s *silent) WriteHeader(n int)   { s.status = n }
func (s *silent) Write(b []byte) (int, error) {
	s.body = append(s.body[:0], b...)
	return len(b), nil
}

// BenchmarkHandler measures Pawl's own part of a request, without net/http: a session call (answered from memory) and a
// refresh (with a whole commit).
func BenchmarkHandler(b *testing.B) { benchmarkHandler(b, nil) }

// BenchmarkHandlerCounted measures the same with metrics.
func BenchmarkHandlerCounted(b *testing.B) { benchmarkHandler(b, metrics.New("test")) }

// benchmarkApp returns the handler of a server with a user.
func benchmarkApp(b *testing.B, config app.Config) http.Handler {
	config.Store = app.StoreAddress{Folder: b.TempDir()}
	config.Argon2 = password.Params{MemoryKiB: 64, Passes: 1}
	a, err := app.Open(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = a.Close() })
	user := authority.User{
		Login: pawltest.Login, Email: pawltest.Login, Level: authority.MailboxUser, Status: authority.Active,
	}
	if _, _, err := a.Authority.Bootstrap(b.Context(), user, pawltest.Password); err != nil {
		b.Fatal(err)
	}
	return a.Handler
}

// sendForToken sends a login or a refresh to a handler, and returns the token of the response.
func (s *silent) sendForToken(b *testing.B, handler http.Handler, path, body string) string {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	clear(s.header)
	handler.ServeHTTP(s, r)
	var envelope api.Envelope[api.Token]
	if err := json.Unmarshal(s.body, &envelope); err != nil || s.status != http.StatusOK {
		b.Fatalf("%d %s %v", s.status, s.body, err)
	}
	return envelope.Data.Token
}

func benchmarkHandler(b *testing.B, m *metrics.Metrics) {
	handler := benchmarkApp(b, app.Config{Metrics: m})
	w := &silent{header: http.Header{}}
	token := w.sendForToken(b, handler, "/v2/auth/login", credentials(pawltest.Login, pawltest.Password))
	b.Run("session", func(b *testing.B) {
		r := httptest.NewRequest("POST", "/v2/auth/session", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		b.ReportAllocs()
		for b.Loop() {
			clear(w.header)
			handler.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				b.Fatal(w.status)
			}
		}
	})
	b.Run("refresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			token = w.sendForToken(b, handler, "/v2/auth/refresh", tokenBody(token))
		}
	})
}

// BenchmarkCrossOrigin measures a session call, on a server without allowed origins and on one with them. A request of
// a program has no Origin, and should cost the same on both.
func BenchmarkCrossOrigin(b *testing.B) {
	for _, c := range []struct {
		name    string
		allowed []string
		origin  string
	}{
		{name: "off"},
		{name: "on", allowed: []string{appOrigin}},
		{name: "on-with-Origin", allowed: []string{appOrigin}, origin: appOrigin},
	} {
		b.Run(c.name, func(b *testing.B) {
			handler := benchmarkApp(b, app.Config{AllowedOrigins: c.allowed})
			w := &silent{header: http.Header{}}
			token := w.sendForToken(b, handler, "/v2/auth/login", credentials(pawltest.Login, pawltest.Password))
			r := httptest.NewRequest("POST", "/v2/auth/session", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				handler.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}
