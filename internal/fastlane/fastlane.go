// Package fastlane answers the hot calls of an HTTP/1.1 server without net/http's connection loop, which costs more
// than the calls themselves.
//
// As long as the requests of a connection are of one strict form (parse.go), a Listener calls the server's handler
// itself. The first request of any other form takes the connection, with every byte that was read, to net/http, which
// serves it from then on. The Listener itself rejects nothing. FuzzLane compares it with net/http on the same bytes.
package fastlane

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Listener is a net.Listener for an http.Server. Accept returns the connections that are for net/http.
type Listener struct {
	net.Listener
	server *http.Server
	paths  []string

	handed   chan net.Conn
	failed   chan error // of the wrapped listener
	closed   chan struct{}
	closing  sync.Once
	closeErr error // set in closing

	stopping atomic.Bool
	mu       sync.Mutex // guards conns
	conns    map[net.Conn]bool
	running  sync.WaitGroup // one for each call of serve; Add holds mu, and comes before stopping
}

// New returns a listener for a server, and starts to answer POST requests for paths. The server must not use TLS, and
// must have a Handler, all time-outs, ConnState, BaseContext and ErrorLog, because the lane uses them too. ConnState
// gets only StateActive and StateIdle from the lane. The caller must call Shutdown or CloseAll besides the server's.
func New(l net.Listener, server *http.Server, paths ...string) *Listener {
	fast := &Listener{
		Listener: l, server: server, paths: paths, conns: map[net.Conn]bool{},
		handed: make(chan net.Conn), failed: make(chan error), closed: make(chan struct{}),
	}
	go fast.accept()
	return fast
}

// Accept returns the next connection with a request for net/http, or an error of the wrapped listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.handed:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// accept serves each connection. An error waits for Accept, so that net/http sets the pace of the attempts.
func (l *Listener) accept() {
	base := context.WithValue(l.server.BaseContext(l), http.ServerContextKey, l.server)
	for {
		inner, err := l.Listener.Accept()
		if err == nil {
			l.start(inner, base)
			continue
		}
		select {
		case l.failed <- err:
		case <-l.closed:
			return
		}
	}
}

// start serves a connection, or closes it if stop was called.
func (l *Listener) start(inner net.Conn, base context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping.Load() {
		_ = inner.Close()
		return
	}
	l.conns[inner] = true
	l.running.Go(func() { l.serve(inner, base) })
}

// release keeps stop from a connection. It comes before net/http has the connection, because net/http would answer a
// request with 400 if stop set a deadline in the past.
func (l *Listener) release(inner net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, inner)
}

// Close closes the wrapped listener. The connections in the lane stay open. A repeated call returns the first result.
func (l *Listener) Close() error {
	l.closing.Do(func() { close(l.closed); l.closeErr = l.Listener.Close() })
	return l.closeErr
}

// Shutdown closes the listener and the idle connections, and waits for the requests in flight until ctx ends.
func (l *Listener) Shutdown(ctx context.Context) {
	l.stop(func(c net.Conn) { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // a request in flight does not read
	waiting, drained := context.WithCancel(ctx)
	go func() { l.running.Wait(); drained() }()
	<-waiting.Done()
}

// CloseAll closes the listener and all connections in the lane at once.
func (l *Listener) CloseAll() { l.stop(func(c net.Conn) { _ = c.Close() }) }

// stop closes the listener, and calls end for each connection.
func (l *Listener) stop(end func(net.Conn)) {
	_ = l.Close() // the server's own call returns the error
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping.Store(true)
	for c := range l.conns {
		end(c)
	}
}

// handed is a connection for net/http that begins with bytes that the lane has read.
type handed struct {
	net.Conn
	rest []byte
}

// Read returns the bytes of the lane first.
func (h *handed) Read(b []byte) (int, error) {
	if len(h.rest) == 0 {
		return h.Conn.Read(b)
	}
	n := copy(b, h.rest)
	if h.rest = h.rest[n:]; len(h.rest) == 0 {
		h.rest = nil // frees the buffer
	}
	return n, nil
}

// CloseWrite ends the stream to the client. net/http calls it after it has rejected a long request.
func (h *handed) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// NetConn returns the connection of the wrapped listener.
func (h *handed) NetConn() net.Conn { return h.Conn }
