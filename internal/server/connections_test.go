package server_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/server"
)

// limited is a server with limits on connections. A request for /slow is answered after leave is closed, and entered
// counts such requests.
type limited struct {
	*testing.T
	addr    string
	tls     *tls.Config // of the clients; nil for plain HTTP
	entered chan struct{}
	leave   chan struct{}
	idle    sync.Map // by address of the client: a chan struct{} that gets an element when the server turns idle
}

// idleListener reports when the server begins to wait for the next request of a connection. The client may have the
// response earlier than that.
type idleListener struct {
	net.Listener
	idle *sync.Map
}

type idleReporter struct {
	net.Conn
	idle chan struct{}
}

func (l idleListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	idle, _ := l.idle.LoadOrStore(conn.RemoteAddr().String(), make(chan struct{}, 8))
	return idleReporter{Conn: conn, idle: idle.(chan struct{})}, nil
}

// SetReadDeadline reports an idle connection, whose deadline is far away.
func (c idleReporter) SetReadDeadline(deadline time.Time) error {
	if time.Until(deadline) > time.Minute {
		c.idle <- struct{}{}
	}
	return c.Conn.SetReadDeadline(deadline)
}

func newLimited(t *testing.T, secure bool, c server.HTTPConfig) *limited {
	l := &limited{T: t, entered: make(chan struct{}, 8), leave: make(chan struct{})}
	c.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			l.entered <- struct{}{}
			<-l.leave
		}
		_, _ = io.WriteString(w, "ok")
	})
	if secure {
		pair := httptest.NewTLSServer(nil) // for its certificate
		defer pair.Close()
		c.TLS = &tls.Config{Certificates: pair.TLS.Certificates}
		l.tls = pair.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		l.tls.ServerName = "example.com" // a name in the certificate
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	serveHTTP(t, c, idleListener{Listener: listener, idle: &l.idle})
	return l
}

// connect opens a connection from an address.
func (l *limited) connect(from string) net.Conn {
	l.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", l.addr)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { conn.Close() })
	if l.tls == nil {
		return conn
	}
	return tls.Client(conn, l.tls)
}

// served opens a connection from an address, and makes one request on it, which must succeed.
func (l *limited) served(from string) net.Conn {
	l.Helper()
	conn := l.connect(from)
	if err := ask(conn); err != nil {
		l.Fatalf("a connection from %s was not served: %v", from, err)
	}
	l.awaitIdle(conn)
	return conn
}

// awaitIdle waits until the server begins to wait for the next request of a connection.
func (l *limited) awaitIdle(conn net.Conn) {
	idle, _ := l.idle.Load(conn.LocalAddr().String())
	<-idle.(chan struct{})
}

// busy opens a connection from an address with a request in progress.
func (l *limited) busy(from string) net.Conn {
	l.Helper()
	conn := l.connect(from)
	if _, err := io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		l.Fatal(err)
	}
	<-l.entered
	return conn
}

// closed checks that the server closes a connection.
func (l *limited) closed(conn net.Conn) {
	l.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		l.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		l.Errorf("the connection stays open: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// TestIdleConnectionsMakeRoom checks that a full server closes the connection that has been idle longest for a new one,
// and never a busy one.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			l := newLimited(t, secure, server.HTTPConfig{MaxConnections: 3})
			busy := l.busy("127.0.0.1")
			silent := l.connect("127.0.0.1") // has sent no request
			idle := l.served("127.0.0.1")
			second := l.served("127.0.0.1")
			l.closed(silent)
			l.served("127.0.0.1")
			l.closed(idle)
			if err := ask(second); err != nil {
				t.Errorf("the connection used last was closed: %v", err)
			}
			close(l.leave)
			if resp, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("the busy connection: %v, %v", resp, err)
			}
		})
	}
}

// TestBusyConnectionsStay checks that a server whose connections are all busy closes a new one, and serves the next one
// after a busy one has ended.
func TestBusyConnectionsStay(t *testing.T) {
	l := newLimited(t, false, server.HTTPConfig{MaxConnections: 2})
	l.busy("127.0.0.1")
	leaving := l.busy("127.0.0.1")
	l.closed(l.connect("127.0.0.1"))
	close(l.leave)
	if _, err := http.ReadResponse(bufio.NewReader(leaving), nil); err != nil {
		t.Fatal(err)
	}
	l.awaitIdle(leaving)
	l.served("127.0.0.1")
}

// TestMaxConnectionsPerAddress checks that an address at its limit takes no connection from another address, and that a
// trusted proxy has no such limit.
func TestMaxConnectionsPerAddress(t *testing.T) {
	l := newLimited(t, false, server.HTTPConfig{
		MaxConnections: 6, MaxConnectionsPerAddress: 2,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")},
	})
	defer close(l.leave)
	other := l.served("127.0.0.2")
	first := l.busy("127.0.0.1")
	idle := l.served("127.0.0.1")
	l.busy("127.0.0.1")
	l.closed(idle)
	l.closed(l.connect("127.0.0.1"))
	for range 3 {
		l.busy("127.0.0.3")
	}
	if err := ask(other); err != nil {
		t.Errorf("a connection of another address was closed: %v", err)
	}
	if err := first.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("a busy connection was closed: %v", err)
	}
}
