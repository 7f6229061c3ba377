// Package tracing sends spans to an OpenTelemetry collector: one for each request and, within it, one for each call of
// the store that a client waits for and for each password hash. A span has no token, no login and no id of a user.
//
// A *Tracer is handed down to each part. Every method of a nil *Tracer does nothing, so that no caller asks whether
// tracing is on.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer starts spans, and sends those that ended in the background. It is safe for concurrent use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	context  propagation.TraceContext
	log      *slog.Logger
}

// closeTimeout bounds Close: it is the rest of a shutdown's time.
const closeTimeout = 1500 * time.Millisecond

// New returns a tracer configured by the OTEL_* variables of the process. An unreachable collector does not cause an
// error: the spans are lost, and the log has a warning.
func New(ctx context.Context, build string, log *slog.Logger) (*Tracer, error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces cannot be sent: %w; check the OTEL_EXPORTER_OTLP_* variables", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "pawl"), attribute.String("service.version", build)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES cannot be read: %w; write name=value,name=value", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(logged{exporter, log}), sdktrace.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/pawlauth/pawl"), log: log}, nil
}

// Start starts a span and returns the context for the calls within it. The caller ends the span with end, and a
// non-nil error marks it as failed. The error's text may name a person, so the span does not have it.
func (t *Tracer) Start(ctx context.Context, name string) (_ context.Context, end func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Close sends the waiting spans, until closeTimeout.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last traces were not sent", "err", err)
	}
}

// logged is an exporter that logs its errors. The library would write them to standard error in a format of its own.
type logged struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

// ExportSpans sends spans. It returns no error, because the log has it.
func (l logged) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := l.SpanExporter.ExportSpans(ctx, spans); err != nil {
		l.log.Warn("traces not sent", "spans", len(spans), "err", err)
	}
	return nil
}
