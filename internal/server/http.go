package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/pawlauth/pawl/internal/fastlane"
)

const (
	// maxStreams is how many requests one HTTP/2 connection may have at once. net/http allows 250. With 250,
	// MaxConnections connections would take too much memory.
	maxStreams = 32
	// maxUnread is how many bytes of its bodies one HTTP/2 connection may send before a handler reads them: the least
	// that net/http permits. Its default is 1 MiB, which a client could fill on each of MaxConnections connections.
	maxUnread = 64 << 10
	// writeTimeout is how long a response may take, and how long an HTTP/2 client may take to receive any byte. Without
	// the latter, net/http would wait for it for ever.
	writeTimeout = 30 * time.Second
	// drainTimeout is how long Shutdown waits for the requests in flight. It leaves the store 3 of the 10 seconds in
	// which a process exits, with the traces and the log.
	drainTimeout = 7 * time.Second
)

// HTTPConfig configures an HTTPServer. Handler is required; every other field is optional.
type HTTPConfig struct {
	Handler http.Handler
	// TLS turns on HTTPS and HTTP/2, and must have a certificate. If nil, the server speaks plain HTTP.
	TLS *tls.Config
	// MaxConnections is how many connections may be open at once. A further connection takes the slot of the connection
	// that has been idle longest. If none is idle, the server closes the new connection. If 0 or less, there is no
	// limit.
	MaxConnections int
	// MaxConnectionsPerAddress is how many of them one client address may have; the addresses of one IPv6 /64 count as
	// one. Above it, the same rule applies among the connections of the address. If 0 or less, there is no limit.
	MaxConnectionsPerAddress int
	// TrustedProxies have no MaxConnectionsPerAddress, because they connect for many clients.
	TrustedProxies []netip.Prefix
	// FastLane answers session checks, introspections and refreshes with package fastlane, which costs less. It has no
	// effect with TLS.
	FastLane bool
	// Log receives the errors of connections. If nil, the server discards them.
	Log *slog.Logger
}

// HTTPServer serves HTTP with time-outs for a public network, so that slow clients cannot hold connections open, and
// with a limit on connections. Create it with NewHTTPServer.
type HTTPServer struct {
	server http.Server
	limits connectionLimits
	log    *slog.Logger

	fastLane bool
	mu       sync.Mutex         // guards the fields below
	fast     *fastlane.Listener // nil: none
	stopped  bool               // whether Shutdown or Close was called
}

// stoppingKey is the key of a context that ends when the server of a request begins to stop.
type stoppingKey struct{}

// stopping returns a context that ends when the server of a request begins to stop, so that streams end.
func stopping(request context.Context) context.Context {
	if ctx, ok := request.Value(stoppingKey{}).(context.Context); ok {
		return ctx
	}
	return context.Background()
}

// NewHTTPServer returns a server without a listener.
func NewHTTPServer(c HTTPConfig) *HTTPServer {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	stopping, stop := context.WithCancel(context.Background())
	base := context.WithValue(context.Background(), stoppingKey{}, stopping)
	s := &HTTPServer{
		log: c.Log, fastLane: c.FastLane && c.TLS == nil,
		server: http.Server{
			Handler:           c.Handler,
			BaseContext:       func(net.Listener) context.Context { return base },
			ConnState:         trackIdle,
			TLSConfig:         c.TLS,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       15 * time.Second,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    32 << 10,
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: maxUnread,
				MaxReceiveBufferPerStream: maxUnread, WriteByteTimeout: writeTimeout,
			},
			ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
		},
		limits: connectionLimits{
			total:          c.MaxConnections,
			perAddress:     c.MaxConnectionsPerAddress,
			trustedProxies: c.TrustedProxies,
		},
	}
	s.server.RegisterOnShutdown(stop)
	return s
}

// Serve answers the requests of a listener, and closes the listener. Serve returns nil as soon as Shutdown begins, and
// an error if the listener fails. It must be called once.
func (s *HTTPServer) Serve(l net.Listener) error {
	if s.limits.total > 0 || s.limits.perAddress > 0 {
		l = newLimitedListener(l, s.limits)
	}
	var err error
	if s.server.TLSConfig != nil {
		err = s.server.ServeTLS(l, "", "")
	} else {
		err = s.server.Serve(s.withLane(l))
	}
	if s.isStopped() {
		return nil // the stop has closed the listener, and err is the consequence
	}
	return err
}

// isStopped reports whether Shutdown or Close was called.
func (s *HTTPServer) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// withLane returns a listener with the fast lane in front of l, or l itself.
func (s *HTTPServer) withLane(l net.Listener) net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fastLane || s.stopped {
		return l
	}
	s.fast = fastlane.New(l, &s.server, sessionPath, refreshPath, introspectPath)
	return s.fast
}

// stopLane keeps Serve from starting a lane later. It returns the present lane, or nil if there is none.
func (s *HTTPServer) stopLane() *fastlane.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return s.fast
}

// Shutdown stops listening and waits for the requests in flight, for 7 seconds or until ctx ends. It then closes the
// remaining connections.
func (s *HTTPServer) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	fast := s.stopLane()
	s.log.Info("draining: no new connections; the requests in flight may end", "timeout", drainTimeout.String())
	var draining sync.WaitGroup
	if fast != nil {
		draining.Go(func() { fast.Shutdown(ctx) })
	}
	err := s.server.Shutdown(ctx)
	draining.Wait()
	if ctx.Err() != nil {
		s.log.Warn("drained only in part: the remaining requests are cut off")
		return s.Close()
	}
	s.log.Info("drained")
	return err
}

// Close stops listening and closes all connections at once.
func (s *HTTPServer) Close() error {
	fast := s.stopLane()
	err := s.server.Close()
	if fast != nil {
		fast.CloseAll()
	}
	return err
}
