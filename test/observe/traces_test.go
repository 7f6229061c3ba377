//go:build linux

package observe_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
)

// receiver is an OTLP/HTTP collector.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex // guards the fields below
	got  []*collector.ExportTraceServiceRequest
	path string
}

func newReceiver(t *testing.T) *receiver {
	r := new(receiver)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		text, err := io.ReadAll(request.Body)
		message := new(collector.ExportTraceServiceRequest)
		if err != nil || proto.Unmarshal(text, message) != nil {
			t.Errorf("the collector received an invalid message: %v", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.path = append(r.got, message), request.URL.Path
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// TestTraces checks the spans of the traffic, which the server flushes at SIGTERM: one span for each request, all in
// the caller's trace, with the spans of commits and hashes inside.
func TestTraces(t *testing.T) {
	r := newReceiver(t)
	s := start(t, "", "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL, "OTEL_SERVICE_NAME=pawl-observed")
	s.traffic(t)
	s.terminate(t)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path != "/v1/traces" {
		t.Errorf("the spans were sent to %q, want /v1/traces", r.path)
	}
	for _, message := range r.got {
		s.checkNoSecrets(t, "the spans", prototext.Format(message))
	}
	spans, byID := collectSpans(t, r.got)
	for name, want := range map[string]int{
		"POST /v2/auth/login":     2,
		"POST /v2/auth/refresh":   4,
		"_OTHER /v2/auth/refresh": 1,
		"GET /v2/users/{id}":      1,
		"GET":                     1,
	} {
		if len(spans[name]) != want {
			t.Errorf("%d spans are named %q, want %d", len(spans[name]), name, want)
		}
		for _, span := range spans[name] {
			if hex.EncodeToString(span.TraceId) != traceID || hex.EncodeToString(span.ParentSpanId) != parentID ||
				span.Kind != wire.Span_SPAN_KIND_SERVER {
				t.Errorf("%q is not a server span in the caller's trace: %v", name, span)
			}
		}
	}
	for name, parent := range map[string]string{
		"store Rotate":         "POST /v2/auth/refresh",
		"store RecentSession":  "POST /v2/auth/session",
		"store OpenSession":    "POST /v2/auth/login",
		"store BeginAttempt":   "POST /v2/auth/login",
		"store ResolveAttempt": "POST /v2/auth/login",
		"password hash":        "POST /v2/auth/login",
	} {
		if len(spans[name]) == 0 {
			t.Errorf("no span is named %q", name)
		}
		for _, span := range spans[name] {
			if found := byID[string(span.ParentSpanId)]; found == nil || found.Name != parent {
				t.Errorf("the parent of %q is %v, want %q", name, found, parent)
			}
		}
	}
}

// collectSpans returns all spans by name and by id.
func collectSpans(t *testing.T, messages []*collector.ExportTraceServiceRequest) (
	byName map[string][]*wire.Span, byID map[string]*wire.Span,
) {
	t.Helper()
	byName = map[string][]*wire.Span{}
	byID = map[string]*wire.Span{}
	for _, message := range messages {
		for _, resource := range message.ResourceSpans {
			if service := attribute(resource.Resource.Attributes, "service.name"); service != "pawl-observed" {
				t.Errorf("service.name is %q", service)
			}
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					byName[span.Name] = append(byName[span.Name], span)
					byID[string(span.SpanId)] = span
				}
			}
		}
	}
	return byName, byID
}

// TestNoCollector checks that a server whose collector is unreachable serves requests and exits.
func TestNoCollector(t *testing.T) {
	r := newReceiver(t)
	r.Close()
	s := start(t, "", "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL)
	s.traffic(t)
	s.terminate(t)
}

// TestHangingCollector checks that a collector that never responds blocks neither the requests nor the exit of the
// server.
func TestHangingCollector(t *testing.T) {
	done := make(chan struct{})
	r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer r.Close()
	defer close(done)
	// The long timeouts ensure that no timeout of the library hides a blocked server.
	s := start(t, "", "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL,
		"OTEL_BSP_SCHEDULE_DELAY=1", "OTEL_BSP_MAX_QUEUE_SIZE=4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1",
		"OTEL_EXPORTER_OTLP_TIMEOUT=3600000", "OTEL_BSP_EXPORT_TIMEOUT=3600000")
	s.traffic(t)
	s.terminate(t)
}

// terminate stops the server with SIGTERM. The server must exit with 0.
func (s *observed) terminate(t *testing.T) {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
}

func attribute(all []*common.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}
