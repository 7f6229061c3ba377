package fastlane

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxFields is how many header fields a request of the lane may have.
const maxFields = 16

// request is a request with all that it points to, so that it is one allocation.
type request struct {
	http   http.Request
	url    url.URL
	values [maxFields]string
	body   body
}

// fields are the header fields that a request of the lane may have, besides those whose names begin with X-. None of
// them changes what net/http does with a request or a connection, except three that addField checks.
var fields = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Authorization": true, "Cache-Control": true,
	"Connection": true, "Content-Length": true, "Content-Type": true, "Forwarded": true, "Host": true,
	"Idempotency-Key": true, "Traceparent": true, "Tracestate": true, "User-Agent": true, "Via": true,
}

// parse parses the first request of c.in, and returns its size. It returns nil if the request is incomplete, or not of
// the form of the lane: POST, one of the paths exactly as it is in the code, HTTP/1.1; only known fields, each on one
// line of printable ASCII; one Host; at most one Content-Length, in digits. fill overwrites the body.
func (c *conn) parse() (*request, int) {
	end := bytes.Index(c.in, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, 0
	}
	line, rest, _ := strings.Cut(string(c.in[:end+2]), "\r\n")
	path, isPost := strings.CutPrefix(line, "POST ")
	path, is11 := strings.CutSuffix(path, " HTTP/1.1")
	if !isPost || !is11 || !slices.Contains(c.listener.paths, path) {
		return nil, 0
	}
	r := &request{http: *c.template, url: url.URL{Path: path}}
	r.http.URL = &r.url
	r.http.RequestURI = path
	r.http.Header = make(http.Header, 8)
	for n := 0; rest != ""; n++ {
		line, rest, _ = strings.Cut(rest, "\r\n")
		if n == maxFields || !r.addField(n, line) {
			return nil, 0
		}
	}
	size := end + 4 + int(r.http.ContentLength)
	if r.http.Host == "" || size > len(c.in) {
		return nil, 0
	}
	r.http.Body = http.NoBody
	if r.http.ContentLength > 0 {
		r.body.rest = c.in[end+4 : size]
		r.http.Body = &r.body
	}
	return r, size
}

// addField adds the n-th header field. It returns false if the field is not of the form of the lane.
func (r *request) addField(n int, line string) bool {
	name, value, ok := strings.Cut(line, ":")
	name = textproto.CanonicalMIMEHeaderKey(name)
	known := fields[name] || strings.HasPrefix(name, "X-") && httpguts.ValidHeaderFieldName(name)
	if !ok || !known || !isPrintable(value) {
		return false
	}
	value = strings.Trim(value, " ")
	switch name {
	case "Host":
		ok = value != "" && r.http.Host == "" && httpguts.ValidHostHeader(value)
		r.http.Host = value
		return ok
	case "Content-Length":
		length, err := strconv.ParseUint(value, 10, 12) // below maxRequest
		r.http.ContentLength = int64(length)
		ok = err == nil && value == strconv.FormatUint(length, 10) && r.http.Header[name] == nil
	case "Connection":
		ok = strings.EqualFold(value, "keep-alive")
	}
	if earlier := r.http.Header[name]; earlier != nil {
		r.http.Header[name] = append(earlier, value)
		return ok
	}
	r.values[n] = value
	r.http.Header[name] = r.values[n : n+1 : n+1]
	return ok
}

// isPrintable reports whether a text has only spaces and printable ASCII characters.
func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// body is the body of a request.
type body struct {
	rest   []byte
	closed bool // by the handler, or because the handler has returned
}

// Read returns io.EOF together with the last bytes, as net/http does.
func (b *body) Read(into []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(into, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close rejects further calls of Read.
func (b *body) Close() error {
	b.closed = true
	return nil
}
