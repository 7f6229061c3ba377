// Package recorder records the status of an HTTP handler's response, and names methods and routes for labels. Metrics
// and tracing share it.
package recorder

import (
	"net/http"
	"strings"
	"sync"
)

// Recorder is an http.ResponseWriter that records the status.
type Recorder struct {
	http.ResponseWriter
	status int
}

var recorders = sync.Pool{New: func() any { return new(Recorder) }}

// New returns a recorder that writes to w. The caller must call Free after use.
func New(w http.ResponseWriter) *Recorder {
	r := recorders.Get().(*Recorder)
	r.ResponseWriter = w
	r.status = 0
	return r
}

// Free returns the recorder to the pool.
func (r *Recorder) Free() {
	r.ResponseWriter = nil
	recorders.Put(r)
}

// WriteHeader records the status, except informational ones, which precede the response.
func (r *Recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap returns the wrapped writer, as http.ResponseController requires.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Status returns the status of the response. It is 200 if the handler set none.
func (r *Recorder) Status() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// Method returns the method for a label. Unknown methods become "_OTHER", as OpenTelemetry prescribes, so that clients
// cannot create labels.
func Method(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	}
	return "_OTHER"
}

// Route returns the path pattern that matched the request, or "" if none did.
func Route(r *http.Request) string {
	pattern := r.Pattern
	if i := strings.IndexByte(pattern, ' '); i >= 0 {
		pattern = pattern[i+1:]
	}
	if pattern == "/" {
		return ""
	}
	return pattern
}
