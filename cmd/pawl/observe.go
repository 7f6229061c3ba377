package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/tracing"
)

// observeSettings are what lets others see a server run.
type observeSettings struct {
	MetricsAddr string `placeholder:"ADDR" help:"Address for Prometheus, which asks for /metrics there: of loopback or a private network. Off if not given."`
}

// checkTraces refuses variables of OpenTelemetry's that Pawl cannot follow.
func (s *observeSettings) checkTraces() error {
	if _, err := tracing.Wanted(os.Getenv); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// observe turns on what is wanted, and returns what ends it once the app is
// closed: the spans that wait are sent then. Where metrics are is in the log.
func (s *observeSettings) observe(ctx context.Context, config *app.Config) (end func(), err error) {
	endTraces, endMetrics := func() {}, func() {}
	wanted, err := tracing.Wanted(os.Getenv)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if wanted {
		if config.Tracer, err = tracing.New(ctx, config.Build, config.Log); err != nil {
			return nil, err
		}
		endTraces = config.Tracer.Close
	}
	if s.MetricsAddr != "" {
		config.Metrics = metrics.New(config.Build)
		if endMetrics, err = serveMetrics(s.MetricsAddr, config.Metrics.Page(), config.Log); err != nil {
			endTraces()
			return nil, err
		}
	}
	return func() { endTraces(); endMetrics() }, nil
}

// metricsConnections bounds the other listener: what is open there takes from
// the files of the clients.
const metricsConnections = 64

// serveMetrics answers Prometheus until end is called.
func serveMetrics(addr string, page http.Handler, log *slog.Logger) (end func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for metrics: %w; choose another --metrics-addr", err)
	}
	web := server.NewHTTPServer(server.HTTPConfig{Handler: page, MaxConnections: metricsConnections, Log: log})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := web.Serve(listener); err != nil {
			log.Error("metrics ended", "err", err)
		}
	}()
	log.Info("metrics", "addr", listener.Addr().String())
	return func() { _ = web.Close(); <-done }, nil // Prometheus repeats a scrape that is cut off
}

// tracesSetting is what "pawl config" says of traces, whose settings are
// variables of OpenTelemetry's and not Pawl's.
func tracesSetting() setting {
	wanted, _ := tracing.Wanted(os.Getenv) // the error was said before
	if !wanted {
		return setting{"traces", "off", "OTEL_*"}
	}
	endpoint := tracing.Endpoint(os.Getenv)
	if endpoint == "" {
		endpoint = "http://localhost:4318"
	}
	if parsed, err := url.Parse(endpoint); err == nil {
		endpoint = parsed.Redacted()
	}
	return setting{"traces", endpoint, "OTEL_*"}
}
