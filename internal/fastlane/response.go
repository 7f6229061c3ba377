package fastlane

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxPlain is the size of the longest body with a Content-Length. net/http sends a longer one in chunks.
const maxPlain = 2048

// response is the http.ResponseWriter of the lane. It keeps the whole response in memory, because the responses of the
// hot calls are short. The handler must not set Content-Length, Transfer-Encoding, Trailer or a status without a body.
type response struct {
	header http.Header
	body   []byte
	out    bytes.Buffer // the response as it is sent

	wrote, dated, typed, closes bool // the handler has called WriteHeader; has set Date, a type, Connection: close
}

var responses = sync.Pool{New: func() any { return &response{header: http.Header{}} }}

// free returns the response to the pool. The handler must have returned.
func (w *response) free() {
	clear(w.header)
	w.out.Reset()
	*w = response{header: w.header, body: w.body[:0], out: w.out}
	responses.Put(w)
}

// Header returns the header. As with net/http, changes after WriteHeader have no effect.
func (w *response) Header() http.Header { return w.header }

// WriteHeader writes the status and the fields of the handler. As with net/http, the second call is a no-op.
func (w *response) WriteHeader(status int) {
	if w.wrote {
		return
	}
	text := http.StatusText(status)
	if text == "" || status < 200 || status == 204 || status == 304 {
		panic("fastlane: the handler of a hot call set a status without a body")
	}
	w.wrote = true
	for name, values := range w.header {
		switch name {
		case "Date":
			w.dated = true
		case "Connection":
			w.closes = slices.Equal(values, []string{"close"})
		case "Content-Type", "Content-Encoding":
			w.typed = true
		case "Content-Length", "Transfer-Encoding", "Trailer":
			panic("fastlane: the handler of a hot call set " + name)
		}
	}
	w.out.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + text + "\r\n")
	_ = w.header.Write(&w.out) // cannot fail
}

// Write adds to the body.
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

// finish completes the response, with the fields that net/http adds, in its order.
func (w *response) finish(closes bool) {
	w.WriteHeader(http.StatusOK)
	chunked := len(w.body) > maxPlain
	var array [len(http.TimeFormat)]byte
	if !w.dated {
		w.writeField("Date", time.Now().UTC().AppendFormat(array[:0], http.TimeFormat))
	}
	if !chunked {
		w.writeField("Content-Length", strconv.AppendInt(array[:0], int64(len(w.body)), 10))
	}
	if len(w.body) > 0 && !w.typed {
		w.writeField("Content-Type", []byte(http.DetectContentType(w.body)))
	}
	if closes && !w.closes {
		w.writeField("Connection", []byte("close"))
	}
	begin, end := "\r\n", ""
	if chunked {
		begin = "Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(w.body)), 16) + "\r\n"
		end = "\r\n0\r\n\r\n"
	}
	w.out.WriteString(begin)
	w.out.Write(w.body)
	w.out.WriteString(end)
}

func (w *response) writeField(name string, value []byte) {
	w.out.WriteString(name)
	w.out.WriteString(": ")
	w.out.Write(value)
	w.out.WriteString("\r\n")
}
