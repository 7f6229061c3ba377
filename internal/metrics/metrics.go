// Package metrics counts what Pawl does, for Prometheus. No other package imports Prometheus' library.
//
// A *Metrics is handed down to each part, and the part's code calls it where something happens. Every method of a nil
// *Metrics does nothing, so that no caller asks whether metrics are on. Figures already kept by a part, such as the
// length of a queue, are read at each scrape through functions registered by the part (see Gauges).
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics has the counters of one Pawl. It is safe for concurrent use.
type Metrics struct {
	recent   *Recent
	registry *prometheus.Registry // nil: only recent counts
	http     *httpMetrics

	logins         *prometheus.CounterVec
	refreshes      *prometheus.CounterVec
	tokenReuses    prometheus.Counter
	introspections *prometheus.CounterVec
	auditEvents    *prometheus.CounterVec

	commits, reads batchMetrics
	storeErrors    prometheus.Counter
}

// batchMetrics measures the batches of one operation of the store.
type batchMetrics struct{ size, duration prometheus.Observer }

// durationBuckets are the bounds of the histograms of time: from a read in memory to the deadline of a request.
var durationBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New returns the metrics of a Pawl of this build.
func New(build string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	factory := promauto.With(registry)
	counter := func(name, help, label string) *prometheus.CounterVec {
		return factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	factory.NewGaugeVec(prometheus.GaugeOpts{Name: "pawl_build_info", Help: "The build that runs; always 1."},
		[]string{"version", "go_version"}).WithLabelValues(build, runtime.Version()).Set(1)
	size := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pawl_store_batch_size",
		Help:    "Writes that shared a commit, or checks that shared a query.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 12),
	}, []string{"operation"})
	duration := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pawl_store_batch_duration_seconds",
		Help:    "Time of one attempt of a shared commit, or of a shared query including its retry.",
		Buckets: durationBuckets,
	}, []string{"operation"})
	m := &Metrics{
		recent:    newRecent(),
		registry:  registry,
		http:      newHTTP(factory),
		logins:    counter("pawl_logins_total", "Sign-ins, by outcome.", "outcome"),
		refreshes: counter("pawl_refreshes_total", "Refreshes, by outcome.", "outcome"),
		tokenReuses: factory.NewCounter(prometheus.CounterOpts{
			Name: "pawl_token_reuses_total",
			Help: "Superseded tokens at the refresh endpoint that were taken for stolen.",
		}),
		introspections: counter("pawl_introspections_total",
			"Introspections, by whether the token was active.", "active"),
		auditEvents: counter("pawl_audit_events_total",
			"Audit events by kind, including those that are missing from the store.", "kind"),
		commits: batchMetrics{size.WithLabelValues("commit"), duration.WithLabelValues("commit")},
		reads:   batchMetrics{size.WithLabelValues("read"), duration.WithLabelValues("read")},
		storeErrors: factory.NewCounter(prometheus.CounterOpts{
			Name: "pawl_store_errors_total", Help: "Reads, writes and commits of the store that failed.",
		}),
	}
	declare(m.introspections, "false", "true")
	return m
}

// declare creates the series of a counter's values, so that a scrape has each of them with 0 before its first event.
func declare(counter *prometheus.CounterVec, values ...string) {
	for _, value := range values {
		counter.WithLabelValues(value)
	}
}

// Labels has all values of the labels of other packages.
type Labels struct{ LoginOutcomes, RefreshOutcomes, AuditKinds []string }

// Declare creates the series of these values, so that a scrape has each of them with 0 before its first event.
func (m *Metrics) Declare(l Labels) {
	if m == nil || m.registry == nil {
		return
	}
	declare(m.logins, l.LoginOutcomes...)
	declare(m.refreshes, l.RefreshOutcomes...)
	declare(m.auditEvents, l.AuditKinds...)
}

// Page returns the handler of /metrics. The handler has no other path.
func (m *Metrics) Page() http.Handler {
	mux := http.NewServeMux()
	if m != nil && m.registry != nil {
		options := promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: 10 * time.Second}
		mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, options))
	}
	return mux
}

// recentOf returns the series of an outcome in Recent, and 1, or 0 for an outcome that belongs to none.
func recentOf(outcome, success string, series int) (int, uint64) {
	switch outcome {
	case success, "replayed":
		return series, 1
	case "unavailable", "failed":
		return RecentRefusals, 0
	}
	return RecentRefusals, 1
}

// Login counts a sign-in.
func (m *Metrics) Login(outcome string) {
	if m == nil {
		return
	}
	m.recent.add(recentOf(outcome, "opened", RecentLogins))
	if m.registry != nil {
		m.logins.WithLabelValues(outcome).Inc()
	}
}

// Refresh counts a refresh.
func (m *Metrics) Refresh(outcome string) {
	if m == nil {
		return
	}
	m.recent.add(recentOf(outcome, "moved", RecentRefreshes))
	if m.registry != nil {
		m.refreshes.WithLabelValues(outcome).Inc()
	}
}

// TokenReuse counts a superseded token taken for stolen.
func (m *Metrics) TokenReuse() {
	if m == nil {
		return
	}
	m.recent.add(RecentThefts, 1)
	if m.registry != nil {
		m.tokenReuses.Inc()
	}
}

// Introspection counts an introspection.
func (m *Metrics) Introspection(active bool) {
	switch {
	case m == nil || m.registry == nil:
	case active:
		m.introspections.WithLabelValues("true").Inc()
	default:
		m.introspections.WithLabelValues("false").Inc()
	}
}

// AuditEvent counts an event of the audit.
func (m *Metrics) AuditEvent(kind string) {
	if m != nil && m.registry != nil {
		m.auditEvents.WithLabelValues(kind).Inc()
	}
}

// StoreCommit measures a batch of writes in one commit, whether the commit succeeded or not.
func (m *Metrics) StoreCommit(writes int, took time.Duration) {
	if m == nil {
		return
	}
	m.recent.add(RecentCommits, 1)
	m.recent.add(recentCommitMicros, uint64(max(0, took.Microseconds())))
	if m.registry != nil {
		m.commits.observe(writes, took)
	}
}

// StoreRead measures a batch of checks in one query.
func (m *Metrics) StoreRead(checks int, took time.Duration) {
	if m != nil && m.registry != nil {
		m.reads.observe(checks, took)
	}
}

// StoreError counts a failed read, write or commit of the store. A "not found" is no failure.
func (m *Metrics) StoreError() {
	if m == nil {
		return
	}
	m.recent.add(RecentErrors, 1)
	if m.registry != nil {
		m.storeErrors.Inc()
	}
}

func (b batchMetrics) observe(size int, took time.Duration) {
	b.size.Observe(float64(size))
	b.duration.Observe(took.Seconds())
}
