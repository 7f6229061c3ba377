package fastlane_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/fastlane"
)

// running is a server with the lane, on TCP.
type running struct {
	testing.TB
	fast *fastlane.Listener
	addr string
}

// run runs a server until the test ends. configure may be nil.
func run(t testing.TB, handler http.HandlerFunc, configure func(*http.Server)) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &side{}
	startSide(t, s, listener, true, handler, configure)
	return &running{TB: t, fast: s.fast, addr: listener.Addr().String()}
}

// client is a connection to a server.
type client struct {
	testing.TB
	net.Conn
	*bufio.Reader
}

func (r *running) dial() *client {
	r.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.Fatal(err)
	}
	return &client{TB: r.TB, Conn: conn, Reader: bufio.NewReader(conn)}
}

func (c *client) write(text string) {
	c.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.Fatal(err)
	}
}

// read returns the next response and its body.
func (c *client) read() (*http.Response, string) {
	c.Helper()
	response, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		c.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return response, string(body)
}

// closed checks that the server closes the connection.
func (c *client) closed() {
	c.Helper()
	if rest, err := io.ReadAll(c.Reader); err != nil || len(rest) > 0 {
		c.Errorf("the connection has %q, %v; want its end", rest, err)
	}
}

// nameWriter responds with the type of its writer, which shows what serves the request.
func nameWriter(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%T", w) }

// TestHandOver checks which requests the lane answers, and that net/http keeps a connection that it has got.
func TestHandOver(t *testing.T) {
	fields := []string{
		"Accept: */*", "Accept-Encoding: gzip", "Accept-Language: de", "Authorization: Bearer a.b.c",
		"Cache-Control: no-cache", "Connection: keep-alive", "Content-Type: application/json",
		"Forwarded: for=192.0.2.1", "Idempotency-Key: 1", "Traceparent: 00-1-2-01", "Tracestate: a=b",
		"User-Agent: x", "Via: 1.1 x",
		"x-forwarded-for: 192.0.2.1", "X-API-Key: k", "X-Request-Id: 1",
	}
	s := run(t, nameWriter, nil)
	for text, want := range map[string]string{
		hot():                                          "lane",
		hot(fields[:15]...):                            "lane",
		post(refreshPath, "12345"):                     "lane",
		post(refreshPath, "5", fields[5:]...):          "lane",
		introspection("token=a"):                       "lane",
		introspection("token=a", fields[:11]...):       "lane",
		hot(fields...):                                 "http", // 17 fields
		hot("Origin: https://x"):                       "http",
		hot("Cookie: a=b"):                             "http",
		hot("Pragma: no-cache"):                        "http",
		hot("Content-Length: 00"):                      "http",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":            "http",
		post("/v2/auth/login", "{}"):                   "http",
		post("/oauth2/revoke", "token=a"):              "http",
		introspection("token=a", "Sec-Fetch-Mode: a"):  "http",
		introspection("a=b", "Content-Encoding: gzip"): "http",
		post(refreshPath, strings.Repeat("x", 5000)):   "http",
	} {
		c := s.dial()
		c.write(text)
		if _, got := c.read(); !strings.Contains(got, map[string]string{"lane": "fastlane.", "http": "http."}[want]) {
			t.Errorf("%q: answered by %s, want %s", text, got, want)
		}
	}
	c := s.dial()
	for _, step := range [][2]string{
		{hot(), "*fastlane.response"}, {hot(), "*fastlane.response"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "*http.response"}, {hot(), "*http.response"},
	} {
		c.write(step[0])
		if _, got := c.read(); got != step[1] {
			t.Errorf("%q: answered by %s, want %s", step[0], got, step[1])
		}
	}
}

// TestStates checks the calls of ConnState, and that the connection of net/http leads to that of the lane.
func TestStates(t *testing.T) {
	type change struct {
		conn  net.Conn
		state http.ConnState
	}
	changes := make(chan change, 16)
	s := run(t, nameWriter, func(server *http.Server) {
		server.ConnState = func(conn net.Conn, state http.ConnState) { changes <- change{conn, state} }
	})
	c := s.dial()
	var inner net.Conn
	expect := func(states ...http.ConnState) {
		t.Helper()
		for _, want := range states {
			got := <-changes
			if outer, ok := got.conn.(interface{ NetConn() net.Conn }); ok {
				got.conn = outer.NetConn()
			}
			if inner == nil {
				inner = got.conn
			}
			if got.state != want || got.conn != inner {
				t.Errorf("%v of %v, want %v of %v", got.state, got.conn, want, inner)
			}
		}
	}
	for range 2 {
		c.write(hot())
		expect(http.StateActive, http.StateIdle)
	}
	c.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	expect(http.StateNew, http.StateActive, http.StateIdle)
}

// TestShutdown checks that Shutdown closes idle connections, and waits for the request in flight, whose response ends
// its connection.
func TestShutdown(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := run(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == refreshPath {
			close(entered)
			<-leave
		}
	}, nil)
	silent, idle := s.dial(), s.dial()
	busy := s.dial()
	idle.write(hot())
	idle.read()
	busy.write(post(refreshPath, "12345"))
	<-entered
	done := make(chan struct{})
	go func() {
		s.fast.Shutdown(context.Background())
		close(done)
	}()
	silent.closed()
	idle.closed()
	select {
	case <-done:
		t.Error("Shutdown does not wait for the request in flight")
	default:
	}
	close(leave)
	<-done
	if response, _ := busy.read(); !response.Close || response.StatusCode != http.StatusOK {
		t.Errorf("the last response: %d, %q", response.StatusCode, response.Header)
	}
	busy.closed()
	if conn, err := net.Dial("tcp", s.addr); err == nil {
		conn.Close()
		t.Error("the listener is open after Shutdown")
	}
}

// TestShutdownEnds checks that Shutdown returns at the end of its context, and that CloseAll ends the rest.
func TestShutdownEnds(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := run(t, func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-leave
	}, nil)
	defer close(leave)
	busy := s.dial()
	busy.write(hot())
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.fast.Shutdown(ctx)
	s.fast.CloseAll()
	busy.closed()
}

// TestRepeatedClose checks that Close returns no error after Shutdown. The Shutdown of the lane and that of the server
// run at once, and both close the listener.
func TestRepeatedClose(t *testing.T) {
	s := run(t, nameWriter, nil)
	s.fast.Shutdown(t.Context())
	if err := s.fast.Close(); err != nil {
		t.Errorf("Close after Shutdown: %v", err)
	}
}

// TestShutdownAfterHandOver shuts the lane down once net/http has got a connection. The connection must stay as it
// is, because net/http would answer a deadline in the past with 400.
func TestShutdownAfterHandOver(t *testing.T) {
	server := &http.Server{
		BaseContext: func(net.Listener) context.Context { return context.Background() }, ReadHeaderTimeout: patience,
	}
	for range 500 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		fast := fastlane.New(listener, server)
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, writeErr := io.WriteString(client, "G")
		conn, err := fast.Accept()
		fast.Shutdown(t.Context())
		if err := errors.Join(writeErr, err); err != nil {
			t.Fatal(err)
		}
		_, writeErr = io.WriteString(client, "ET")
		_, err = io.ReadFull(conn, make([]byte, 3))
		if err := errors.Join(writeErr, err, conn.Close(), client.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTimeouts checks the time-outs of the server in the lane: for the first request, and between two.
func TestTimeouts(t *testing.T) {
	const short = 50 * time.Millisecond
	run(t, nameWriter, func(server *http.Server) { server.ReadHeaderTimeout = short }).dial().closed()
	c := run(t, nameWriter, func(server *http.Server) { server.IdleTimeout = short }).dial()
	c.write(hot())
	c.read()
	c.closed()
}

// TestAcceptErrors checks that Accept returns the errors of the wrapped listener, and that the lane works on after one.
func TestAcceptErrors(t *testing.T) {
	inner := &failing{errs: []error{io.ErrNoProgress, io.ErrShortWrite}, closed: make(chan struct{})}
	fast := fastlane.New(inner, &http.Server{BaseContext: func(net.Listener) context.Context { return t.Context() }})
	var got []error
	for range 2 {
		_, err := fast.Accept()
		got = append(got, err)
	}
	if err := fast.Close(); err != nil {
		t.Error(err)
	}
	if _, err := fast.Accept(); err == nil || !slices.Equal(got, []error{io.ErrNoProgress, io.ErrShortWrite}) {
		t.Errorf("Accept returned %v, and %v after Close", got, err)
	}
}

// failing is a listener whose Accept returns errs, and then waits for Close.
type failing struct {
	net.Listener
	errs   []error
	closed chan struct{}
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		<-f.closed
		return nil, net.ErrClosed
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func (f *failing) Close() error {
	close(f.closed)
	return nil
}
