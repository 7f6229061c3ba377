package metrics

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/pawlauth/pawl/internal/recorder"
)

// httpMetrics counts requests.
type httpMetrics struct {
	inFlight prometheus.Gauge
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	known    known
}

// answer is what tells the series of requests apart. There are no more than the
// server has patterns, times methods, times codes that it answers with.
type answer struct {
	route, method string
	code          int
}

// series is what a request of one kind counts in.
type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// known has the series that were made. A reader takes no lock and allocates
// nothing.
type known struct {
	mu  sync.Mutex                        // held to add one
	all atomic.Pointer[map[answer]series] // replaced, never changed
}

func newHTTP(factory promauto.Factory) *httpMetrics {
	h := &httpMetrics{
		inFlight: factory.NewGauge(prometheus.GaugeOpts{Name: "pawl_http_requests_in_flight", Help: "Requests that are being answered."}),
		requests: factory.NewCounterVec(prometheus.CounterOpts{Name: "pawl_http_requests_total",
			Help: "Requests that were answered, by route, method and status."}, []string{"route", "method", "code"}),
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{Name: "pawl_http_request_duration_seconds", Buckets: durations,
			Help: "Time from a request's header to its answer, by route."}, []string{"route"}),
	}
	h.known.all.Store(&map[answer]series{})
	return h
}

// Handler counts the requests that next answers.
func (m *Metrics) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		m.http.inFlight.Inc()
		rec := recorder.New(w)
		defer func() { // a handler may panic, to cut the connection
			m.http.inFlight.Dec()
			s := m.http.find(answer{recorder.Route(r), recorder.Method(r.Method), rec.Status()})
			s.requests.Inc()
			s.duration.Observe(time.Since(began).Seconds())
			rec.Free()
		}()
		next.ServeHTTP(rec, r)
	})
}

func (h *httpMetrics) find(a answer) series {
	if s, ok := (*h.known.all.Load())[a]; ok {
		return s
	}
	h.known.mu.Lock()
	defer h.known.mu.Unlock()
	route := a.route
	if route == "" {
		route = "other" // no such path
	}
	s := series{h.requests.WithLabelValues(route, a.method, strconv.Itoa(a.code)), h.duration.WithLabelValues(route)}
	all := maps.Clone(*h.known.all.Load())
	all[a] = s
	h.known.all.Store(&all)
	return s
}
