package server

import (
	"context"
	"net/http"
)

// requestContext returns the context of one request: it carries the request id and ends after RequestTimeout. It does
// not end when the client disconnects, because the outcome of a refresh would be lost.
func requestContext(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	ctx := withRequestID(context.WithoutCancel(r.Context()), w)
	return context.WithTimeout(ctx, RequestTimeout)
}
