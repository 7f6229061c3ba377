package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/tracing"
)

// observeSettings configure the log and the metrics. Variables of OpenTelemetry configure the traces.
type observeSettings struct {
	LogFile     string `placeholder:"FILE" help:"File for the log, which SIGHUP reopens; if empty, standard error."`
	MetricsAddr string `placeholder:"ADDR" help:"Address of /metrics, on loopback or a private network; if empty, off."`
}

// observation is what observe has started.
type observation struct {
	endTraces, endMetrics func()
	health                atomic.Pointer[http.Handler] // of the server; nil until setHealth
}

// observe starts metrics and traces, if they are turned on, and puts them into config. The caller calls end after it
// has closed the app, so that end can send the remaining spans.
func (s *observeSettings) observe(ctx context.Context, config *app.Config, log *serverLog) (*observation, error) {
	o := &observation{endTraces: func() {}, endMetrics: func() {}}
	traces, err := tracing.Wanted(os.Getenv)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if traces {
		if config.Tracer, err = tracing.New(ctx, config.Build, config.Log); err != nil {
			return nil, err
		}
		o.endTraces = config.Tracer.Close
	}
	if s.MetricsAddr != "" {
		config.Metrics = metrics.New(config.Build)
		config.Metrics.Register(metrics.Gauges{LogLinesLost: log.queue.Lost})
		if err := o.serve(s.MetricsAddr, config.Metrics.Page(), config.Log); err != nil {
			o.endTraces()
			return nil, err
		}
	}
	return o, nil
}

// end stops what observe started.
func (o *observation) end() {
	o.endTraces()
	o.endMetrics()
}

// setHealth adds the health checks of the server to the metrics listener, where clients of the server cannot crowd them
// out.
func (o *observation) setHealth(server http.Handler) { o.health.Store(&server) }

// healthCheck answers a health check as the server does, and with 503 until the server has opened its store.
func (o *observation) healthCheck(w http.ResponseWriter, r *http.Request) {
	if server := o.health.Load(); server != nil {
		(*server).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "starting", http.StatusServiceUnavailable)
}

// maxMetricsConnections limits the connections of the metrics listener, because they share the open files of the
// process with the clients.
const maxMetricsConnections = 64

// serve serves metrics and health checks on an address of their own until end is called.
func (o *observation) serve(addr string, page http.Handler, log *slog.Logger) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen for metrics: %w; choose another --metrics-addr", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("/healthz", o.healthCheck)
	mux.HandleFunc("/readyz", o.healthCheck)
	web := server.NewHTTPServer(server.HTTPConfig{Handler: mux, MaxConnections: maxMetricsConnections, Log: log})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := web.Serve(listener); err != nil {
			log.Error("metrics ended", "err", err)
		}
	}()
	log.Info("metrics", "addr", listener.Addr().String())
	o.endMetrics = func() { _ = web.Close(); <-done } // Prometheus repeats an interrupted scrape
	return nil
}
