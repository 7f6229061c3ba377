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

func benchmarkHandler(b *testing.B, m *metrics.Metrics) {
	a, err := app.Open(b.Context(), app.Config{
		Store: app.StoreAddress{Folder: b.TempDir()}, Metrics: m, Argon2: password.Params{MemoryKiB: 64, Passes: 1},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	user := authority.User{
		Login: pawltest.Login, Email: pawltest.Login, Level: authority.MailboxUser, Status: authority.Active,
	}
	if _, _, err := a.Authority.Bootstrap(b.Context(), user, pawltest.Password); err != nil {
		b.Fatal(err)
	}
	w := &silent{header: http.Header{}}
	send := func(path, body, bearer string) string {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		clear(w.header)
		a.Handler.ServeHTTP(w, r)
		var envelope api.Envelope[api.Token]
		if err := json.Unmarshal(w.body, &envelope); err != nil || w.status != http.StatusOK {
			b.Fatalf("%d %s %v", w.status, w.body, err)
		}
		return envelope.Data.Token
	}
	token := send("/v2/auth/login", credentials(pawltest.Login, pawltest.Password), "")
	b.Run("session", func(b *testing.B) {
		r := httptest.NewRequest("POST", "/v2/auth/session", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		b.ReportAllocs()
		for b.Loop() {
			clear(w.header)
			a.Handler.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				b.Fatal(w.status)
			}
		}
	})
	b.Run("refresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			token = send("/v2/auth/refresh", tokenBody(token), "")
		}
	})
}
