package metrics

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Gauges are what a scrape asks for. It calls them at most 4 at a time.
type Gauges struct {
	// Passwords returns how many password checks run and wait.
	Passwords func() (running, waiting int)
	// SigningKeys returns how many keys this node verifies with.
	SigningKeys func() int
	// Audit returns how many events wait for the store, and how many it lost.
	Audit func() (waiting int, lost int64)
	// Sessions returns how many sessions there are, or false if that is not known now.
	Sessions func(context.Context) (int64, bool)
	// Pool returns the state of PostgreSQL's connections; nil if there are none.
	Pool func() *pgxpool.Stat
}

// Register adds the gauges; once.
func (m *Metrics) Register(g Gauges) { m.registry.MustRegister(gauges{g}) }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	passwordsRunning = describe("pawl_password_checks_running", "Password hashes under way.")
	passwordsWaiting = describe("pawl_password_checks_waiting", "Password hashes that wait for a processor.")
	signingKeys      = describe("pawl_signing_keys", "Signing keys that this node verifies tokens with.")
	auditWaiting     = describe("pawl_audit_events_waiting", "Events of the audit that wait for the store.")
	auditLost        = describe("pawl_audit_events_lost_total", "Events that are in the log and not in the store.")
	sessionsHeld     = describe("pawl_sessions", "Sessions in the store, those not swept yet included; on PostgreSQL the planner's estimate.")

	poolConnections = describe("pawl_postgres_connections", "Connections to PostgreSQL, by what they do.", "state")
	poolMost        = describe("pawl_postgres_connections_max", "Connections that this node may open.")
	poolAcquires    = describe("pawl_postgres_acquires_total", "Times that a connection was taken.")
	poolWaits       = describe("pawl_postgres_acquire_waits_total", "Times that none was free, and the taker waited.")
	poolWaited      = describe("pawl_postgres_acquire_seconds_total", "Time spent taking connections.")
)

type gauges struct{ Gauges }

// Describe says nothing: what there is depends on the store (an unchecked
// collector, as Prometheus calls it).
func (gauges) Describe(chan<- *prometheus.Desc) {}

func (g gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
	}
	running, waiting := g.Passwords()
	gauge(passwordsRunning, float64(running))
	gauge(passwordsWaiting, float64(waiting))
	gauge(signingKeys, float64(g.SigningKeys()))
	events, lost := g.Audit()
	gauge(auditWaiting, float64(events))
	counter(auditLost, float64(lost))
	if n, known := g.Sessions(context.Background()); known {
		gauge(sessionsHeld, float64(n))
	}
	if g.Pool == nil {
		return
	}
	pool := g.Pool()
	gauge(poolConnections, float64(pool.AcquiredConns()), "used")
	gauge(poolConnections, float64(pool.IdleConns()), "idle")
	gauge(poolConnections, float64(pool.ConstructingConns()), "opening")
	gauge(poolMost, float64(pool.MaxConns()))
	counter(poolAcquires, float64(pool.AcquireCount()))
	counter(poolWaits, float64(pool.EmptyAcquireCount()))
	counter(poolWaited, pool.AcquireDuration().Seconds())
}
