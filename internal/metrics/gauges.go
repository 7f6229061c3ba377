package metrics

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pawlauth/pawl/internal/revocation"
)

// maxScrapes is how many scrapes run at once.
const maxScrapes = 4

// Gauges are functions called by a scrape, maxScrapes at a time. Each part registers its own; nil ones are skipped.
type Gauges struct {
	// Passwords returns how many password hashes run, and how many wait.
	Passwords func() (running, waiting int)
	// SigningKeys returns how many keys this node verifies with.
	SigningKeys func() int
	// Audit returns how many events wait for the store, and how many are missing from it.
	Audit func() (waiting int, lost int64)
	// LogLinesLost returns how many lines of the log were lost.
	LogLinesLost func() int64
	// CertificateNotAfter returns when the first certificate of the server expires, or false if there is none yet.
	CertificateNotAfter func() (time.Time, bool)
	// Sessions returns the number of sessions, or false if it is not known now.
	Sessions func(context.Context) (int64, bool)
	// Nodes returns the addresses of the nodes that use the store now, or false if they are not known. It is for the
	// console only.
	Nodes func(context.Context) ([]string, bool)
	// DiskFull reports whether the disk has no space for the store. It is for the console only.
	DiskFull func() bool
	// Feed returns the figures of the feed of revocations.
	Feed func() revocation.FeedStats
	// Push returns the figures of the delivery to receivers.
	Push func() PushStats
	// Pool returns the state of the connections to PostgreSQL.
	Pool func() *pgxpool.Stat
}

// PushStats are figures of the delivery of security event tokens by this node.
type PushStats struct {
	Receivers int // the receivers of this node
	// Delivered and Rejected count tokens, Failed counts deliveries that are repeated.
	Delivered, Rejected, Failed uint64
	Lag                         time.Duration // the age of the oldest event that is being delivered; 0 if there is none
}

// Register adds gauges to each scrape.
func (m *Metrics) Register(g Gauges) {
	if m == nil {
		return
	}
	m.recent.register(g)
	if m.registry != nil {
		m.registry.MustRegister(gauges{g})
	}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	passwordsRunning = describe("pawl_password_checks_running", "Password hashes that run now.")
	passwordsWaiting = describe("pawl_password_checks_waiting", "Password hashes that wait for a processor.")
	signingKeys      = describe("pawl_signing_keys", "Signing keys that this node verifies tokens with.")
	auditWaiting     = describe("pawl_audit_events_waiting", "Audit events that wait to be stored.")
	auditLost        = describe("pawl_audit_events_lost_total",
		"Audit events that are in the log but missing from the store.")
	logLinesLost        = describe("pawl_log_lines_lost_total", "Log lines that the output did not accept in time.")
	certificateNotAfter = describe("pawl_tls_certificate_not_after_seconds",
		"When the first certificate of the server expires: Unix seconds.")
	sessionCount = describe("pawl_sessions",
		"Sessions that have not ended, including expired ones that are not swept yet. On PostgreSQL an estimate.")

	feedSubscribers = describe("pawl_feed_subscribers", "Streams of GET /v2/revocations that are open.")
	feedEvents      = describe("pawl_feed_events_total", "Events of revocations, each counted once.")
	feedBytes       = describe("pawl_feed_bytes_total", "Bytes of these events, each counted once.")
	feedCutOffs     = describe("pawl_feed_cut_offs_total",
		"Streams that were ended because their client read too slowly.")
	feedEpochs = describe("pawl_feed_epochs_total",
		"Epochs of the feed. A new one makes every verifier ask about each of its tokens once.")
	feedBeatAge = describe("pawl_feed_beat_age_seconds", "The age of the last beat; 0 without streams.")

	pushReceivers = describe("pawl_push_receivers", "Receivers of security event tokens that this node delivers to.")
	pushAttempts  = describe("pawl_push_attempts_total",
		"Deliveries of security event tokens: accepted, rejected, or failed and to be repeated.", "outcome")
	pushLag = describe("pawl_push_lag_seconds", "The age of the oldest event that a receiver has not accepted yet.")

	poolConnections = describe("pawl_postgres_connections", "Connections to PostgreSQL, by state.", "state")
	poolMax         = describe("pawl_postgres_connections_max", "Connections that this node may open.")
	poolAcquires    = describe("pawl_postgres_acquires_total", "Acquires of a connection.")
	poolWaits       = describe("pawl_postgres_acquire_waits_total", "Acquires that had to wait for a free connection.")
	poolWaitTime    = describe("pawl_postgres_acquire_seconds_total", "Time spent in acquires of a connection.")
)

type gauges struct{ Gauges }

// Describe returns no descriptions, because the set of gauges depends on the store. Prometheus calls this an unchecked
// collector.
func (gauges) Describe(chan<- *prometheus.Desc) {}

// Collect calls the functions for one scrape.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
	}
	if g.Passwords != nil {
		running, waiting := g.Passwords()
		gauge(passwordsRunning, float64(running))
		gauge(passwordsWaiting, float64(waiting))
	}
	if g.SigningKeys != nil {
		gauge(signingKeys, float64(g.SigningKeys()))
	}
	if g.Audit != nil {
		waiting, lost := g.Audit()
		gauge(auditWaiting, float64(waiting))
		counter(auditLost, float64(lost))
	}
	if g.LogLinesLost != nil {
		counter(logLinesLost, float64(g.LogLinesLost()))
	}
	if g.CertificateNotAfter != nil {
		if at, known := g.CertificateNotAfter(); known {
			gauge(certificateNotAfter, float64(at.Unix()))
		}
	}
	if g.Sessions != nil {
		if n, known := g.Sessions(context.Background()); known {
			gauge(sessionCount, float64(n))
		}
	}
	if g.Feed != nil {
		feed := g.Feed()
		gauge(feedSubscribers, float64(feed.Subscribers))
		counter(feedEvents, float64(feed.Events))
		counter(feedBytes, float64(feed.Bytes))
		counter(feedCutOffs, float64(feed.CutOffs))
		counter(feedEpochs, float64(feed.Epochs))
		gauge(feedBeatAge, feed.BeatAge.Seconds())
	}
	g.collectPush(out)
	if g.Pool != nil {
		pool := g.Pool()
		gauge(poolConnections, float64(pool.AcquiredConns()), "used")
		gauge(poolConnections, float64(pool.IdleConns()), "idle")
		gauge(poolConnections, float64(pool.ConstructingConns()), "opening")
		gauge(poolMax, float64(pool.MaxConns()))
		counter(poolAcquires, float64(pool.AcquireCount()))
		counter(poolWaits, float64(pool.EmptyAcquireCount()))
		counter(poolWaitTime, pool.AcquireDuration().Seconds())
	}
}

// collectPush adds the figures of the delivery to receivers.
func (g gauges) collectPush(out chan<- prometheus.Metric) {
	if g.Push == nil {
		return
	}
	push := g.Push()
	out <- prometheus.MustNewConstMetric(pushReceivers, prometheus.GaugeValue, float64(push.Receivers))
	out <- prometheus.MustNewConstMetric(pushLag, prometheus.GaugeValue, push.Lag.Seconds())
	for outcome, n := range map[string]uint64{
		"accepted": push.Delivered, "rejected": push.Rejected, "failed": push.Failed,
	} {
		out <- prometheus.MustNewConstMetric(pushAttempts, prometheus.CounterValue, float64(n), outcome)
	}
}
