package metrics

import "github.com/prometheus/client_golang/prometheus"

// VerifierFigures are figures about a verifier of tokens, from its start.
type VerifierFigures struct {
	State                           string // one of VerifierStates
	FeedAge                         float64
	Accepted, Rejected, Asked       uint64
	Unavailable                     uint64
	AcceptedUnreachable             uint64
	Epochs, Changes, FeedFailures   uint64
	ChangesKept, ChangesKeptOverrun uint64
}

// VerifierStates are the values of VerifierFigures.State.
var VerifierStates = []string{"stale", "catching up", "fresh"}

// RegisterVerifier adds the figures of a verifier to each scrape.
func (m *Metrics) RegisterVerifier(read func() VerifierFigures) {
	if m != nil {
		m.registry.MustRegister(verifierFigures{read})
	}
}

var (
	verifierState = describe("pawl_verifier_state", "Whether the verifier is in a state: 1 or 0.", "state")
	verifierAge   = describe("pawl_verifier_feed_age_seconds", "The age of the knowledge about revocations.")
	verifierCalls = describe("pawl_verifier_calls_total", "Verified tokens, by outcome.", "outcome")
	verifierAsked = describe("pawl_verifier_questions_total", "Verified tokens that Pawl was asked about.")
	verifierFeed  = describe("pawl_verifier_feed_events_total",
		"Epochs that began, changes that arrived, and subscriptions that failed.", "event")
	verifierKept     = describe("pawl_verifier_changes_kept", "Sessions and users whose changes are kept.")
	verifierOverruns = describe("pawl_verifier_changes_kept_overruns_total",
		"Times that the changes were too many to keep, so that Pawl was asked about each token again.")
)

type verifierFigures struct{ read func() VerifierFigures }

// Describe returns no descriptions, as for gauges.
func (verifierFigures) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures for one scrape.
func (v verifierFigures) Collect(out chan<- prometheus.Metric) {
	f := v.read()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	for _, state := range VerifierStates {
		value := 0.0
		if state == f.State {
			value = 1
		}
		gauge(verifierState, value, state)
	}
	gauge(verifierAge, f.FeedAge)
	counter(verifierCalls, f.Accepted, "accepted")
	counter(verifierCalls, f.Rejected, "rejected")
	counter(verifierCalls, f.Unavailable, "unavailable")
	counter(verifierCalls, f.AcceptedUnreachable, "accepted_unreachable")
	counter(verifierAsked, f.Asked)
	counter(verifierFeed, f.Epochs, "epoch")
	counter(verifierFeed, f.Changes, "change")
	counter(verifierFeed, f.FeedFailures, "failure")
	gauge(verifierKept, float64(f.ChangesKept))
	counter(verifierOverruns, f.ChangesKeptOverrun)
}
