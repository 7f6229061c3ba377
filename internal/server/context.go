package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"

	"github.com/pawlauth/pawl/internal/redact"
)

// setRequestID puts the request's id into the response's header: the caller's X-Request-Id if it can be nothing but an
// id, or else a new one. The log and the audit have the id, so it must not be an API key or a token.
func setRequestID(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if !redact.IsID(id) {
		id = rand.Text()
	}
	w.Header()["X-Request-Id"] = []string{id}
}

// responseID returns the request id of a response. setRequestID has put the id into the response.
func responseID(w http.ResponseWriter) string { return w.Header().Get("X-Request-Id") }

type requestIDKey struct{}

// withRequestID adds the id of a response to ctx, for the log.
func withRequestID(ctx context.Context, w http.ResponseWriter) context.Context {
	return context.WithValue(ctx, requestIDKey{}, responseID(w))
}

// RequestID returns the id of the request of ctx, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// LogHandler returns a handler for log records. The handler adds the request id of the context to each record.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestID(ctx); id != "" {
		record.AddAttrs(slog.String("request", id))
	}
	return h.Handler.Handle(ctx, record)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}
