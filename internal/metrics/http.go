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
	series   seriesCache
}

// seriesKey selects the series of a request. There are at most as many as routes times methods times status codes.
type seriesKey struct {
	route, method string
	status        int
}

// series are what a request is counted in.
type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// seriesCache keeps the existing series, so that counting a request takes no lock and allocates nothing.
type seriesCache struct {
	mu  sync.Mutex                           // held while one is added
	all atomic.Pointer[map[seriesKey]series] // replaced, never changed
}

func newHTTP(factory promauto.Factory) *httpMetrics {
	h := &httpMetrics{
		inFlight: factory.NewGauge(prometheus.GaugeOpts{
			Name: "pawl_http_requests_in_flight", Help: "Requests that are being handled.",
		}),
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "pawl_http_requests_total", Help: "Responses, by route, method and status.",
		}, []string{"route", "method", "code"}),
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pawl_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its response, by route.",
			Buckets: durationBuckets,
		}, []string{"route"}),
	}
	h.series.all.Store(&map[seriesKey]series{})
	return h
}

// Handler returns next with each request counted, or next itself if m counts no requests.
func (m *Metrics) Handler(next http.Handler) http.Handler {
	if m == nil || m.registry == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		m.http.inFlight.Inc()
		rec := recorder.New(w)
		defer func() { // deferred because a handler may panic, to cut the connection
			m.http.inFlight.Dec()
			key := seriesKey{route: recorder.Route(r), method: recorder.Method(r.Method), status: rec.Status()}
			s := m.http.find(key)
			s.requests.Inc()
			s.duration.Observe(time.Since(start).Seconds())
			rec.Free()
		}()
		next.ServeHTTP(rec, r)
	})
}

// find returns the series of a request, and creates it at the first such request.
func (h *httpMetrics) find(key seriesKey) series {
	if s, ok := (*h.series.all.Load())[key]; ok {
		return s
	}
	h.series.mu.Lock()
	defer h.series.mu.Unlock()
	route := key.route
	if route == "" {
		route = "other" // no such path
	}
	s := series{
		requests: h.requests.WithLabelValues(route, key.method, strconv.Itoa(key.status)),
		duration: h.duration.WithLabelValues(route),
	}
	all := maps.Clone(*h.series.all.Load())
	all[key] = s
	h.series.all.Store(&all)
	return s
}
