package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/tracing"
)

// observeSettings configure the log and the metrics. Variables of OpenTelemetry configure the traces.
type observeSettings struct {
	logSettings `embed:""`
	MetricsAddr string `placeholder:"ADDR" help:"Address of /metrics, on loopback or a private network; if empty, off."`
}

// check returns an error for each invalid setting.
func (s *observeSettings) check() error {
	if s.MetricsAddr == "" {
		return nil
	}
	return checkAddress("metrics-addr", s.MetricsAddr)
}

// startTraces creates the tracer, if traces are turned on, and puts it into config. The caller calls end after it has
// closed the app, so that end can send the remaining spans.
func startTraces(ctx context.Context, config *app.Config) (end func(), err error) {
	wanted, err := tracing.Wanted(os.Getenv)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if !wanted {
		return func() {}, nil
	}
	ctx = context.WithoutCancel(ctx) // a signal is no fault of the variables
	if config.Tracer, err = tracing.New(ctx, config.Build, config.Log); err != nil {
		return nil, err
	}
	return config.Tracer.Close, nil
}

// maxMetricsConnections limits the connections of the metrics listener, because they share the open files of the
// process with the clients.
const maxMetricsConnections = 64

// serveMetrics serves metrics on an address of their own until end is called. It serves the health checks of the server
// too, where clients of the server cannot crowd them out.
func serveMetrics(addr string, page, health http.Handler, log *slog.Logger) (end func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, explainListen(err, "metrics-addr")
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.Handle("/healthz", health)
	mux.Handle("/readyz", health)
	web := server.NewHTTPServer(server.HTTPConfig{Handler: mux, MaxConnections: maxMetricsConnections, Log: log})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := web.Serve(listener); err != nil {
			log.Error("metrics ended", "err", err)
		}
	}()
	log.Info("metrics", "addr", listener.Addr().String())
	return func() { _ = web.Close(); <-done }, nil // Prometheus repeats an interrupted scrape
}
