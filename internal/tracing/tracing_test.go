package tracing_test

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/pawlauth/pawl/internal/tracing"
)

// TestSpanStatus checks that a span shows that its call failed, without the text of the error. The text may name a
// person.
func TestSpanStatus(t *testing.T) {
	sent := make(chan []byte, 8) // also for repeated exports
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
		sent <- text
	}))
	defer web.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.URL)
	tracer, err := tracing.New(t.Context(), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, end := tracer.Start(t.Context(), "succeeds")
	end(nil)
	_, end = tracer.Start(t.Context(), "fails")
	end(errors.New("the row of ada@example.com is damaged"))
	tracer.Close() // sends both
	var text []byte
	select {
	case text = <-sent:
	default:
		t.Fatal("no span was sent")
	}
	message := new(collector.ExportTraceServiceRequest)
	if err := proto.Unmarshal(text, message); err != nil || strings.Contains(string(text), "ada@example.com") {
		t.Fatalf("%v in %q", err, text)
	}
	got := map[string]wire.Status_StatusCode{}
	for _, span := range message.ResourceSpans[0].ScopeSpans[0].Spans {
		got[span.Name] = span.Status.GetCode()
	}
	want := map[string]wire.Status_StatusCode{
		"succeeds": wire.Status_STATUS_CODE_UNSET, "fails": wire.Status_STATUS_CODE_ERROR,
	}
	if !maps.Equal(got, want) {
		t.Errorf("the spans' status is %v, want %v", got, want)
	}
}

// TestNilTracer checks that a nil *Tracer can be used.
func TestNilTracer(t *testing.T) {
	var tracer *tracing.Tracer
	ctx, end := tracer.Start(t.Context(), "nothing")
	if ctx != t.Context() {
		t.Error("the context was changed")
	}
	end(nil)
	mux := http.NewServeMux()
	if got := tracer.Handler(mux); got != mux {
		t.Error("the handler was wrapped")
	}
	tracer.Close()
}
