package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pawlauth/pawl/internal/metrics"
)

// silent is an http.ResponseWriter that costs next to nothing.
type silent struct{}

func (silent) Header() http.Header         { return nil }
func (silent) Write(b []byte) (int, error) { return len(b), nil }
func (silent) WriteHeader(int)             {}

// BenchmarkHandler is what counting a refresh adds to it: the request, and its
// outcome.
func BenchmarkHandler(b *testing.B) {
	m := metrics.New("test")
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Pattern = "/v2/auth/refresh"
		w.WriteHeader(http.StatusOK)
		m.Refresh("moved")
	}))
	r := httptest.NewRequest("POST", "/v2/auth/refresh", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(silent{}, r)
	}
}
