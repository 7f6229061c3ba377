package tracing

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pawlauth/pawl/internal/recorder"
)

// Handler makes a span of each request that next answers, within the trace that
// traceparent names (W3C Trace Context). It is called after its method and its
// route: a path may have an id in it.
func (t *Tracing) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := recorder.Method(r.Method)
		ctx := t.context.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", method)))
		rec := recorder.New(w)
		r = r.WithContext(ctx)
		defer func() { // a handler may panic, to cut the connection
			describe(span, method, recorder.Route(r), rec.Status())
			span.End()
			rec.Free()
		}()
		next.ServeHTTP(rec, r)
	})
}

func describe(span trace.Span, method, route string, status int) {
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if route != "" {
		span.SetName(method + " " + route)
		span.SetAttributes(attribute.String("http.route", route))
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}
