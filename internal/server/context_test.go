package server

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestContext checks that a request's context carries its id and the values of net/http's context, ends after
// requestTimeout, and survives the client.
func TestRequestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type spanKey struct{}
		client, disconnect := context.WithCancel(context.WithValue(t.Context(), spanKey{}, "span"))
		w := httptest.NewRecorder()
		w.Header().Set("X-Request-Id", "abc")
		s := new(server)
		ctx := s.requestContext(w, httptest.NewRequest("GET", "/", nil).WithContext(client))
		disconnect()
		if id, span := RequestID(ctx), ctx.Value(spanKey{}); id != "abc" || span != "span" {
			t.Errorf("the context has the request id %q and the span %v", id, span)
		}
		time.Sleep(requestTimeout - time.Nanosecond)
		if err := ctx.Err(); err != nil {
			t.Errorf("the context ended early: %v", err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context ended with %v, want a deadline", err)
		}
	})
}
