package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pawlauth/pawl/internal/metrics"
)

// discard is an http.ResponseWriter that costs almost nothing.
type discard struct{}

func (discard) Header() http.Header         { return nil }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkHandler measures the cost of counting a refresh: the request and its outcome.
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
		h.ServeHTTP(discard{}, r)
	}
}
