package fastlane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/fastlane"
)

// The paths of the lane, in these tests.
const (
	sessionPath    = "/v2/auth/session"
	refreshPath    = "/v2/auth/refresh"
	introspectPath = "/oauth2/introspect"
)

const formType = "application/x-www-form-urlencoded"

// patience is longer than any exchange takes on a busy machine, so that no time-out makes the difference.
const patience = 5 * time.Minute

// side is one of two servers to compare.
type side struct {
	address string
	fast    *fastlane.Listener // nil: net/http alone

	mu   sync.Mutex
	seen []string // the requests that the handler saw
}

// baseKey is the key of a value in the context of each request.
type baseKey struct{}

// startSides runs a handler on net/http alone and with the lane. Both listen on sockets in a folder, because TCP has
// too few ports for thousands of connections a second.
func startSides(t testing.TB, handler http.Handler) (plain, withLane *side) {
	t.Helper()
	dir := t.TempDir()
	plain, withLane = &side{address: filepath.Join(dir, "a")}, &side{address: filepath.Join(dir, "b")}
	for _, s := range []*side{plain, withLane} {
		listener, err := net.Listen("unix", s.address)
		if err != nil {
			t.Fatal(err)
		}
		startSide(t, s, listener, s == withLane, handler, nil)
	}
	return plain, withLane
}

// startSide runs one server until the test ends. configure may change it first.
func startSide(
	t testing.TB, s *side, listener net.Listener, withLane bool, handler http.Handler, configure func(*http.Server),
) {
	t.Helper()
	base := context.WithValue(context.Background(), baseKey{}, "base")
	server := &http.Server{
		Handler:           s.recording(handler),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnState:         func(net.Conn, http.ConnState) {},
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience,
		MaxHeaderBytes: 32 << 10,
	}
	if configure != nil {
		configure(server)
	}
	if withLane {
		s.fast = fastlane.New(listener, server, sessionPath, refreshPath, introspectPath)
		listener = s.fast
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if s.fast != nil {
			s.fast.CloseAll()
		}
		if err := server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// recording returns next with each request recorded as next sees it.
func (s *side) recording(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var text strings.Builder
		fmt.Fprintf(&text, "%s %q %q %d.%d host %q uri %q from %q close %t length %d encoding %q trailer %q form %v\n",
			r.Method, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, r.RequestURI, r.RemoteAddr, r.Close,
			r.ContentLength, r.TransferEncoding, r.Trailer, r.Form)
		fmt.Fprintf(&text, "header %q\n", r.Header)
		_, hasServer := r.Context().Value(http.ServerContextKey).(*http.Server)
		_, hasAddress := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		fmt.Fprintln(&text, r.Context().Value(baseKey{}), hasServer, hasAddress, r.TLS, r.Body == http.NoBody)
		body := &recordedBody{ReadCloser: r.Body}
		if r.Body != http.NoBody {
			r.Body = body
		}
		defer func() {
			fmt.Fprintf(&text, "body %q %v", body.text.String(), body.err)
			s.mu.Lock()
			s.seen = append(s.seen, text.String())
			s.mu.Unlock()
		}()
		next.ServeHTTP(w, r)
	})
}

// recordedBody records what a handler reads.
type recordedBody struct {
	io.ReadCloser
	text bytes.Buffer
	err  error
}

func (b *recordedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	b.text.Write(into[:n])
	b.err = err
	return n, err
}

// takeSeen returns the recorded requests, and forgets them.
func (s *side) takeSeen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// exchange is what a client sends on one connection.
type exchange struct {
	pieces [][]byte
	pause  time.Duration // after each piece but the last
}

// splitAt returns the exchange of a text that is cut at some offsets.
func splitAt(text []byte, offsets ...int) exchange {
	var e exchange
	for _, offset := range offsets {
		if offset > 0 && offset < len(text) {
			e.pieces = append(e.pieces, text[:offset])
			text = text[offset:]
		}
	}
	e.pieces = append(e.pieces, text)
	return e
}

// send sends an exchange, ends the stream to the server, and returns all that the server sends.
func (s *side) send(t testing.TB, e exchange) []byte {
	t.Helper()
	conn, err := net.Dial("unix", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() {
		for i, piece := range e.pieces {
			if i > 0 && e.pause > 0 {
				time.Sleep(e.pause) // gives the server time to read; the result must be the same if it does not
			}
			if _, err := conn.Write(piece); err != nil {
				return // the server has closed the connection
			}
		}
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	answer, err := io.ReadAll(conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Fatalf("the server neither answers nor closes the connection: %q, so far %q", e.pieces, answer)
	}
	return answer // an error after it is the reset of a connection with unread bytes
}

// varying matches what differs between two responses to the same request: Date, a new request id, and the boundaries
// of chunks, which depend on the calls of Write.
var varying = regexp.MustCompile(`(?m)^(Date|X-Request-Id): [^\r]*\r$`)

// compareState compares an exchange, and then the same with one more request at its end. The additional request is
// answered only if the connection is still open, and begins where the server ended the request before it.
func compareState(t testing.TB, plain, withLane *side, e exchange) {
	t.Helper()
	compare(t, plain, withLane, e)
	last := len(e.pieces) - 1
	e.pieces = append(slices.Clone(e.pieces[:last]), slices.Concat(e.pieces[last], []byte(hot())))
	compare(t, plain, withLane, e)
}

// compare sends an exchange to both sides, and compares the responses, byte by byte, and the requests that the handlers
// saw.
func compare(t testing.TB, plain, withLane *side, e exchange) []byte {
	t.Helper()
	want := varying.ReplaceAll(plain.send(t, e), []byte("$1\r"))
	got := varying.ReplaceAll(withLane.send(t, e), []byte("$1\r"))
	if !bytes.Equal(want, got) {
		t.Errorf("%q\nnet/http answers  %q\nthe lane answers %q", e.pieces, want, got)
	}
	wantSeen, gotSeen := plain.takeSeen(), withLane.takeSeen()
	for i := range max(len(wantSeen), len(gotSeen)) {
		want, got := "no request", "no request"
		if i < len(wantSeen) {
			want = wantSeen[i]
		}
		if i < len(gotSeen) {
			got = gotSeen[i]
		}
		if want != got {
			t.Errorf("%q, request %d\nthe handler of net/http saw  %s\nthe handler of the lane saw %s",
				e.pieces, i, want, got)
		}
	}
	return got
}

// shapes is a handler that returns responses of each shape. X-Shape selects the shape: letters with a number after
// some of them.
func shapes(w http.ResponseWriter, r *http.Request) {
	status, size := http.StatusOK, 20
	h := w.Header()
	h["X-Request-Id"] = []string{r.Header.Get("X-Request-Id")}
	for _, shape := range strings.Fields(r.Header.Get("X-Shape")) {
		number, _ := strconv.Atoi(shape[1:])
		switch shape[0] {
		case 's':
			if number >= 200 && number != 204 && number != 304 && http.StatusText(number) != "" {
				status = number
			}
		case 'b':
			size = min(max(number, 0), 10_000)
		case 't':
			h.Set("Content-Type", "application/json; charset=utf-8")
		case 'c':
			h.Set("Connection", "close")
		case 'v':
			h["X-Value"] = []string{" a\r\nb\t", "", "c"}
		case 'd':
			h.Set("Date", "Sat, 28 Nov 2026 00:00:00 GMT")
		case 'e':
			h.Set("Content-Encoding", "identity")
		case 'r':
			_, _ = io.ReadFull(r.Body, make([]byte, min(max(number, 0), 100)))
		case 'a':
			_, _ = io.ReadAll(r.Body)
		case 'f':
			err := r.ParseForm()
			h["X-Form"] = []string{fmt.Sprintf("%q %v", r.PostForm, err)}
		case 'u':
			login, password, ok := r.BasicAuth()
			h["X-Basic"] = []string{fmt.Sprintf("%q %q %t", login, password, ok)}
			h["Www-Authenticate"] = []string{`Bearer realm="a"`, `Basic realm="a"`}
		case 'x':
			_ = r.Body.Close()
		case 'p':
			panic(http.ErrAbortHandler)
		case 'q':
			panic("a panic of the test")
		case 'n':
			return // without a call of w
		}
	}
	w.WriteHeader(status)
	h.Set("X-Late", "has no effect")
	w.WriteHeader(http.StatusTeapot)
	_, _ = w.Write(bytes.Repeat([]byte("<"), size))
}
