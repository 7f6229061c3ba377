// Package tracing sends spans to an OpenTelemetry collector: one for a request,
// and within it one for each wait for the store's commit and for a password
// hash. They have no token, no login and no id of a user.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracing makes spans and sends them in the background.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	context  propagation.TraceContext
	log      *slog.Logger
}

// flushTimeout is how long Close may take: what is left of a drain.
const flushTimeout = 1500 * time.Millisecond

// New starts tracing as the OTEL_* variables of the process say. That the
// collector cannot be reached is no error: the log says so, and spans are lost.
func New(ctx context.Context, build string, log *slog.Logger) (*Tracing, error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces cannot be sent: %w; check the OTEL_EXPORTER_OTLP_* variables", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "pawl"), attribute.String("service.version", build)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES cannot be read: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(logged{exporter, log}), sdktrace.WithResource(about))
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/pawlauth/pawl"), log: log}, nil
}

// Close sends what waits, for a short while at most; what cannot be sent is in
// the log.
func (t *Tracing) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last traces were not sent", "err", err)
	}
}

// logged says in the log what could not be sent; the library would write to
// standard error by a way of its own.
type logged struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

func (l logged) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := l.SpanExporter.ExportSpans(ctx, spans); err != nil {
		l.log.Warn("traces not sent", "spans", len(spans), "err", err)
	}
	return nil
}
