package tracing_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/tracing"
)

// faulty fails in ways that a span must tell apart; the rest is not called.
type faulty struct{ authority.Store }

func (faulty) Session(context.Context, token.SessionID) (authority.SessionWithUser, error) {
	return authority.SessionWithUser{}, fault.ErrNotFound
}

func (faulty) EndSessions(context.Context, int64, token.SessionID) error {
	return errors.New("the row of ada@example.com is damaged")
}

// TestStoreErrors: a span says that a step failed, and not what the error says,
// which may name someone. That nothing is there is no fault.
func TestStoreErrors(t *testing.T) {
	sent := make(chan []byte, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
		sent <- text
	}))
	defer web.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.URL)
	traces, err := tracing.New(t.Context(), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	store := traces.Store(faulty{})
	_, found := store.Session(t.Context(), token.SessionID{})
	broken := store.EndSessions(t.Context(), 7, token.SessionID{})
	if found != fault.ErrNotFound || broken == nil {
		t.Error(found, broken)
	}
	traces.Close() // sends both
	text := <-sent
	message := new(collector.ExportTraceServiceRequest)
	if err := proto.Unmarshal(text, message); err != nil || strings.Contains(string(text), "ada@example.com") {
		t.Fatalf("%v in %q", err, text)
	}
	got := map[string]wire.Status_StatusCode{}
	for _, span := range message.ResourceSpans[0].ScopeSpans[0].Spans {
		got[span.Name] = span.Status.GetCode()
	}
	if len(got) != 2 || got["store Session"] != wire.Status_STATUS_CODE_UNSET || got["store EndSessions"] != wire.Status_STATUS_CODE_ERROR {
		t.Errorf("%v", got)
	}
}
