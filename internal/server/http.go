package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxStreams is how many requests one HTTP/2 connection may have at once. net/http allows 250. With 250,
	// MaxConnections connections would take too much memory.
	maxStreams = 32
	// drainTimeout is how long Shutdown waits for the requests in flight.
	drainTimeout = 8 * time.Second
)

// HTTPConfig configures an HTTPServer. Handler is required; every other field is optional.
type HTTPConfig struct {
	Handler http.Handler
	// TLS turns on HTTPS and HTTP/2, and must have a certificate. If nil, the server speaks plain HTTP.
	TLS *tls.Config
	// MaxConnections is how many connections may be open at once. The server closes any further connection as soon as
	// it is accepted. If 0 or less, there is no limit.
	MaxConnections int
	// Log receives the errors of connections. If nil, the server discards them.
	Log *slog.Logger
}

// HTTPServer serves HTTP with time-outs for a public network, so that slow clients cannot hold connections open, and
// with a limit on connections. Create it with NewHTTPServer.
type HTTPServer struct {
	server         http.Server
	maxConnections int
}

// NewHTTPServer returns a server without a listener.
func NewHTTPServer(c HTTPConfig) *HTTPServer {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &HTTPServer{maxConnections: c.MaxConnections, server: http.Server{
		Handler:           c.Handler,
		TLSConfig:         c.TLS,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}}
}

// Serve answers the requests of a listener, and closes the listener. Serve returns nil as soon as Shutdown begins, and
// an error if the listener fails.
func (s *HTTPServer) Serve(l net.Listener) error {
	if s.maxConnections > 0 {
		l = &limitedListener{Listener: l, maxConnections: int64(s.maxConnections)}
	}
	var err error
	if s.server.TLSConfig != nil {
		err = s.server.ServeTLS(l, "", "")
	} else {
		err = s.server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops listening and waits for the requests in flight, for 8 seconds or until ctx ends. It then closes the
// remaining connections.
func (s *HTTPServer) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if ctx.Err() != nil {
		err = s.Close()
	}
	return err
}

// Close stops listening and closes all connections at once.
func (s *HTTPServer) Close() error { return s.server.Close() }

// limitedListener closes connections above a limit. It wraps the TCP listener, below TLS, because net/http speaks
// HTTP/2 only if it gets a *tls.Conn directly.
type limitedListener struct {
	net.Listener
	maxConnections int64
	open           atomic.Int64
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.maxConnections {
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = conn.Close() // the client sees the closed connection
	}
}

// limitedConn is a connection. Its limitedListener counts the connection until Close.
type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
