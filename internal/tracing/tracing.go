// Package tracing sends spans to an OpenTelemetry collector: one for a request,
// and within it one for each wait for the store's commit and for a password
// hash. They have no token, no login and no id of a user.
package tracing

import (
	"context"
	"errors"
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
}

// flushTimeout is how long Close may take: what is left of a drain.
const flushTimeout = 1500 * time.Millisecond

// Wanted reports whether the variables of the OpenTelemetry specification ask
// for traces: OTEL_TRACES_EXPORTER is otlp, or is not set and there is an
// endpoint. OTEL_SDK_DISABLED turns all off. The error names a variable whose
// value is not one that Pawl can do.
func Wanted(getenv func(string) string) (bool, error) {
	if getenv("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if Endpoint(getenv) == "" {
			return false, nil
		}
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, and is %q", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := getenv(name); protocol != "" && protocol != "http/protobuf" {
			return false, fmt.Errorf("%s must be http/protobuf, and is %q: give the collector's port for HTTP, mostly 4318", name, protocol)
		}
	}
	return true, nil
}

// Endpoint returns where spans go, as the variables say it; "" is the
// specification's default, http://localhost:4318.
func Endpoint(getenv func(string) string) string {
	if endpoint := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); endpoint != "" {
		return endpoint
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
}

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
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/pawlauth/pawl")}, nil
}

// Close sends what waits, for a short while at most.
func (t *Tracing) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // the collector is away: no reason for a server to fail
	}
	return err
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
