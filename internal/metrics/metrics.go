// Package metrics is what Pawl says of itself to Prometheus. It is the one
// package that knows Prometheus: the others call small hooks of their own.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
)

// Metrics has the counters of one Pawl. Series are made once and kept at hand,
// so that counting looks nothing up by label. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	http     *httpMetrics

	logins    [authority.LoginOutcomes]prometheus.Counter
	refreshes [authority.RefreshOutcomes]prometheus.Counter
	reuse     prometheus.Counter
	active    [2]prometheus.Counter // introspections, of tokens that are not and that are
	events    map[audit.Kind]prometheus.Counter

	commitSize, readSize prometheus.Observer
	commitTime, readTime prometheus.Observer
	storeErrors          prometheus.Counter
}

var _ authority.Observer = (*Metrics)(nil)

// New returns the metrics of a Pawl of this build.
func New(build string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	factory := promauto.With(registry)
	m := &Metrics{registry: registry, http: newHTTP(factory), events: map[audit.Kind]prometheus.Counter{}}
	factory.NewGaugeVec(prometheus.GaugeOpts{Name: "pawl_build_info", Help: "The build that runs; always 1."},
		[]string{"version", "go_version"}).WithLabelValues(build, runtime.Version()).Set(1)

	logins := factory.NewCounterVec(prometheus.CounterOpts{Name: "pawl_logins_total", Help: "Tries to sign in, by how they ended."}, []string{"outcome"})
	for i := range m.logins {
		m.logins[i] = logins.WithLabelValues(authority.LoginOutcome(i).String())
	}
	refreshes := factory.NewCounterVec(prometheus.CounterOpts{Name: "pawl_refreshes_total", Help: "Refreshes, by how they ended."}, []string{"outcome"})
	for i := range m.refreshes {
		m.refreshes[i] = refreshes.WithLabelValues(authority.RefreshOutcome(i).String())
	}
	m.reuse = factory.NewCounter(prometheus.CounterOpts{Name: "pawl_token_reuses_total", Help: "Old tokens that were taken for stolen."})

	introspections := factory.NewCounterVec(prometheus.CounterOpts{Name: "pawl_introspections_total", Help: "Introspections that were answered, by whether the token was active."}, []string{"active"})
	m.active = [2]prometheus.Counter{introspections.WithLabelValues("false"), introspections.WithLabelValues("true")}
	events := factory.NewCounterVec(prometheus.CounterOpts{Name: "pawl_audit_events_total", Help: "Events of the audit, by kind, those that the store lost included."}, []string{"kind"})
	for _, kind := range audit.Kinds {
		if kind == audit.EventsLost {
			continue // pawl_audit_events_lost_total has how many
		}
		m.events[kind] = events.WithLabelValues(string(kind))
	}

	size := factory.NewHistogramVec(prometheus.HistogramOpts{Name: "pawl_store_batch_size", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		Help: "Steps that shared a commit, or checks that shared a query."}, []string{"operation"})
	took := factory.NewHistogramVec(prometheus.HistogramOpts{Name: "pawl_store_batch_duration_seconds", Buckets: durations,
		Help: "Time of one try of a shared commit, or of a shared query with its second try."}, []string{"operation"})
	m.commitSize, m.commitTime = size.WithLabelValues("commit"), took.WithLabelValues("commit")
	m.readSize, m.readTime = size.WithLabelValues("read"), took.WithLabelValues("read")
	m.storeErrors = factory.NewCounter(prometheus.CounterOpts{Name: "pawl_store_errors_total", Help: "Reads, steps and commits that the store could not do."})
	return m
}

// durations are the bounds of the histograms of time: from a read in memory to
// the deadline of a request.
var durations = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Page is the handler of /metrics, and of nothing else.
func (m *Metrics) Page() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	return mux
}

// SignedIn counts a login.
func (m *Metrics) SignedIn(o authority.LoginOutcome) { m.logins[o].Inc() }

// Refreshed counts a refresh.
func (m *Metrics) Refreshed(o authority.RefreshOutcome) { m.refreshes[o].Inc() }

// ReuseFound counts an old token that is taken for stolen.
func (m *Metrics) ReuseFound() { m.reuse.Inc() }

// Introspected counts an introspection.
func (m *Metrics) Introspected(active bool) {
	if active {
		m.active[1].Inc()
		return
	}
	m.active[0].Inc()
}

// Recorded counts an event of the audit.
func (m *Metrics) Recorded(kind audit.Kind) {
	if counter, ok := m.events[kind]; ok {
		counter.Inc()
	}
}

// Committed is the stores' hook for a batch of steps.
func (m *Metrics) Committed(steps int, took time.Duration) {
	m.commitSize.Observe(float64(steps))
	m.commitTime.Observe(took.Seconds())
}

// Read is the hook for a batch of checks.
func (m *Metrics) Read(checks int, took time.Duration) {
	m.readSize.Observe(float64(checks))
	m.readTime.Observe(took.Seconds())
}

// StoreFailed is the stores' hook for an error.
func (m *Metrics) StoreFailed() { m.storeErrors.Inc() }
