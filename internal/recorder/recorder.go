// Package recorder sees what a handler answers with. Metrics and tracing share
// it.
package recorder

import (
	"net/http"
	"strings"
	"sync"
)

// Recorder is an http.ResponseWriter that keeps the status.
type Recorder struct {
	http.ResponseWriter
	status int
}

var recorders = sync.Pool{New: func() any { return new(Recorder) }}

// New returns a recorder before w; Free gives it back.
func New(w http.ResponseWriter) *Recorder {
	r := recorders.Get().(*Recorder)
	r.ResponseWriter, r.status = w, 0
	return r
}

// Free ends the use of the recorder.
func (r *Recorder) Free() {
	r.ResponseWriter = nil
	recorders.Put(r)
}

// WriteHeader keeps the status; an informational one is not the answer.
func (r *Recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Status returns the status of the answer: 200 if the handler gave none.
func (r *Recorder) Status() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// Method returns the method for a label: what a client makes up is "_OTHER", as
// OpenTelemetry has it.
func Method(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return method
	}
	return "_OTHER"
}

// Route returns the route that a ServeMux or the server has found for the
// request, or "" for none.
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
