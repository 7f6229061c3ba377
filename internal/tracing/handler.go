package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pawlauth/pawl/internal/recorder"
	"github.com/pawlauth/pawl/internal/redact"
)

// Handler returns next with a span around each request, in the trace named by the request's traceparent (W3C Trace
// Context). The span's name is the method and the route, because a path may have an id in it. If t is nil, Handler
// returns next itself.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := recorder.Method(r.Method)
		ctx := t.remote(r)
		ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", method)))
		rec := recorder.New(w)
		r = r.WithContext(ctx)
		defer func() { // deferred because a handler may panic, to cut the connection
			describe(span, method, recorder.Route(r), rec.Status())
			span.End()
			rec.Free()
		}()
		next.ServeHTTP(rec, r)
	})
}

// remote returns the request's context with the span that its traceparent names. It drops a tracestate that may have a
// secret, because the collector gets it with each span.
func (t *Tracer) remote(r *http.Request) context.Context {
	ctx := t.context.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	span := trace.SpanContextFromContext(ctx)
	if state := span.TraceState(); state.Len() > 0 && redact.LongWords(state.String()) != state.String() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, span.WithTraceState(trace.TraceState{}))
	}
	return ctx
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
