package server

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// connectionLimits are the limits of HTTPConfig on connections.
type connectionLimits struct {
	total          int
	perAddress     int
	trustedProxies []netip.Prefix
}

// limitedListener limits the open connections, in all and for each address. A new connection above a limit takes the
// slot of the connection that has been idle longest, so that clients cannot shut others out by keeping idle connections
// open. If none is idle, the new connection is closed.
//
// limitedListener wraps the TCP listener, below TLS, because net/http speaks HTTP/2 only if it gets a *tls.Conn
// directly.
type limitedListener struct {
	net.Listener
	limits connectionLimits
	start  time.Time // idleSince counts from here

	mu        sync.Mutex // guards the fields below
	open      int
	addresses map[string]map[*limitedConn]bool // by address block; "" has the connections of trusted proxies
	longest   []idleConn                       // the connections that were idle longest at the last look, oldest first
}

// idleConn is an idle connection as limitedListener saw it.
type idleConn struct {
	conn  *limitedConn
	since int64
}

func newLimitedListener(l net.Listener, limits connectionLimits) *limitedListener {
	return &limitedListener{
		Listener: l, limits: limits, start: time.Now(), addresses: map[string]map[*limitedConn]bool{},
	}
}

// Accept returns the next connection within the limits.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &limitedConn{Conn: conn, listener: l, address: l.addressOf(conn)}
		c.setIdle()
		evicted, admitted := l.admit(c)
		if evicted != nil {
			_ = evicted.Conn.Close() // its own Close follows once net/http has noticed
		}
		if admitted {
			return c, nil
		}
		_ = conn.Close() // the client sees the closed connection
	}
}

// addressOf returns the address block that a connection counts for, or "" for a trusted proxy.
func (l *limitedListener) addressOf(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return throttle.AddressBlock("")
	}
	if address, err := netip.ParseAddr(host); err == nil && contains(l.limits.trustedProxies, address) {
		return ""
	}
	return throttle.AddressBlock(host)
}

// admit adds a connection if the limits allow it. It returns the connection that has to be closed for it, if any.
func (l *limitedListener) admit(c *limitedConn) (evicted *limitedConn, admitted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ofAddress := l.addresses[c.address]
	switch {
	case l.limits.perAddress > 0 && c.address != "" && len(ofAddress) >= l.limits.perAddress:
		if evicted = longestIdle(ofAddress); evicted == nil {
			return nil, false
		}
	case l.limits.total > 0 && l.open >= l.limits.total:
		if evicted = l.longestIdle(); evicted == nil {
			return nil, false
		}
	}
	if evicted != nil {
		l.remove(evicted)
	}
	if l.addresses[c.address] == nil {
		l.addresses[c.address] = map[*limitedConn]bool{}
	}
	l.addresses[c.address][c] = true
	l.open++
	return evicted, true
}

// remove removes a connection; the second call for it is a no-op.
func (l *limitedListener) remove(c *limitedConn) {
	ofAddress := l.addresses[c.address]
	if !ofAddress[c] {
		return
	}
	delete(ofAddress, c)
	if len(ofAddress) == 0 {
		delete(l.addresses, c.address)
	}
	l.open--
}

// longestIdle returns the connection of a set that has been idle longest, or nil if all are busy.
func longestIdle(conns map[*limitedConn]bool) *limitedConn {
	var longest idleConn
	for c := range conns {
		if since := c.idleSince.Load(); since != 0 && (longest.conn == nil || since < longest.since) {
			longest = idleConn{conn: c, since: since}
		}
	}
	return longest.conn
}

// maxLongest is how many connections one look at all connections remembers. It keeps the cost of an accepted connection
// low on a full server.
const maxLongest = 128

// longestIdle returns the connection that has been idle longest, or nil if all are busy.
func (l *limitedListener) longestIdle() *limitedConn {
	if c := l.nextLongest(); c != nil {
		return c
	}
	var idle []idleConn
	for _, conns := range l.addresses {
		for c := range conns {
			if since := c.idleSince.Load(); since != 0 {
				idle = append(idle, idleConn{conn: c, since: since})
			}
		}
	}
	slices.SortFunc(idle, func(a, b idleConn) int { return cmp.Compare(a.since, b.since) })
	l.longest = slices.Clone(idle[:min(len(idle), maxLongest)])
	return l.nextLongest()
}

// nextLongest takes the first connection from l.longest that has been idle ever since, or returns nil if none has.
func (l *limitedListener) nextLongest() *limitedConn {
	for len(l.longest) > 0 {
		first := l.longest[0]
		l.longest = l.longest[1:]
		if first.conn.idleSince.Load() == first.since && l.addresses[first.conn.address][first.conn] {
			return first.conn
		}
	}
	return nil
}

// limitedConn is a connection of a limitedListener.
type limitedConn struct {
	net.Conn
	listener  *limitedListener
	address   string
	idleSince atomic.Int64 // nanoseconds from listener.start to the last response or the start; 0 during a request
}

// setIdle marks the connection as idle from now on. The step of a wall clock does not change the order of connections.
func (c *limitedConn) setIdle() { c.idleSince.Store(max(1, int64(time.Since(c.listener.start)))) }

// Close closes the connection and gives its slot back.
func (c *limitedConn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// trackIdle is the ConnState of a server, which may have a limitedListener.
func trackIdle(conn net.Conn, state http.ConnState) {
	if outer, ok := conn.(interface{ NetConn() net.Conn }); ok { // of TLS, or of the fast lane
		conn = outer.NetConn()
	}
	limited, ok := conn.(*limitedConn)
	switch {
	case !ok:
	case state == http.StateActive:
		limited.idleSince.Store(0)
	case state == http.StateIdle:
		limited.setIdle()
	}
}
