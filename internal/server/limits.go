package server

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// Limits bound what is let in. Zero fields bound nothing.
type Limits struct {
	LoginRate   int // logins a minute of one address
	RefreshRate int // refreshes a minute of one address
	MaxInFlight int // requests at once; past it the answer is 503
	// TrustedProxies may say in X-Forwarded-For who the client is.
	TrustedProxies []netip.Prefix
}

// limiter is the first handler that a request meets.
type limiter struct {
	Limits
	next     *Server
	inFlight atomic.Int64
	rates    map[string]*rateTable // by path
}

// Limit puts limits before the server. It is safe for concurrent use; what it
// counts is this process's own.
func (s *Server) Limit(l Limits) http.Handler {
	h := &limiter{Limits: l, next: s, rates: map[string]*rateTable{}}
	for path, each := range map[string]int{"/v2/auth/login": l.LoginRate, "/v2/auth/refresh": l.RefreshRate} {
		if each > 0 {
			h.rates[path] = &rateTable{each: each, young: map[string]*rate.Limiter{}}
		}
	}
	return h
}

var errFull = &fault.Error{Kind: fault.Unavailable, RetryAfter: time.Second,
	Message: "The server has as many requests as it takes; try again in a moment."}

// ServeHTTP answers a request, or refuses it at once. Health checks are always
// let in: a server that is busy is not dead.
func (h *limiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(h.TrustedProxies) > 0 {
		named := h.behindProxy(r)
		defer func(outer *http.Request) { outer.Pattern = named.Pattern }(r) // for the metrics
		r = named
	}
	if h.MaxInFlight > 0 && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
		place := &place{ReadCloser: r.Body, limiter: h}
		if !place.take() {
			h.refuse(w, r, errFull)
			return
		}
		defer place.free()
		if r.Body != http.NoBody {
			r.Body = place
		}
	}
	if table := h.rates[r.URL.Path]; table != nil && r.Method == http.MethodPost {
		if wait := table.wait(throttle.AddressBlock(origin(r).IP), time.Now()); wait > 0 {
			h.refuse(w, r, &fault.Error{Kind: fault.RateLimited, RetryAfter: wait,
				Message: "This address sends too many requests; wait as long as Retry-After says."})
			return
		}
	}
	h.next.ServeHTTP(w, r)
}

// place is what a request in flight holds, and its body: while that waits for
// the client, the place is for others. Else a few clients that send slowly
// would fill the server. It is its handler's alone.
type place struct {
	io.ReadCloser
	limiter *limiter
	held    bool
}

// take reports whether there was a place.
func (p *place) take() bool {
	p.held = p.limiter.inFlight.Add(1) <= int64(p.limiter.MaxInFlight)
	if !p.held {
		p.limiter.inFlight.Add(-1)
	}
	return p.held
}

func (p *place) free() {
	if p.held {
		p.limiter.inFlight.Add(-1)
		p.held = false
	}
}

// Read reads the body. The error is errFull if there is no place any more when
// the client has sent.
func (p *place) Read(b []byte) (int, error) {
	p.free()
	n, err := p.ReadCloser.Read(b)
	if !p.take() {
		return n, errFull
	}
	return n, err
}

func (h *limiter) refuse(w http.ResponseWriter, r *http.Request, err error) {
	setRequestID(w, r)
	r.Pattern = h.next.route(r) // for the metrics
	h.next.fail(w, r, err)
}

// behindProxy gives the request the address of the client that the trusted
// proxies name. Each proxy adds at the right whom it heard from, so the first
// from the right that is no proxy of ours is the last that can be believed.
func (h *limiter) behindProxy(r *http.Request) *http.Request {
	peer, err := netip.ParseAddr(origin(r).IP)
	if err != nil || !h.trusts(peer) {
		return r
	}
	client := peer
	said := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(said) - 1; i >= 0; i-- {
		address, err := parseAddress(strings.TrimSpace(said[i]))
		if err != nil {
			break // what stands left of it is nobody's word
		}
		client = address
		if !h.trusts(address) {
			break
		}
	}
	named := *r // a handler must not change its request
	named.RemoteAddr = net.JoinHostPort(client.Unmap().WithZone("").String(), "0")
	return &named
}

// parseAddress reads an address, or one with a port, as some proxies write it.
func parseAddress(text string) (netip.Addr, error) {
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.Addr(), nil
	}
	return netip.ParseAddr(text)
}

func (h *limiter) trusts(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	for _, prefix := range h.TrustedProxies {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// rateTable holds the rates of addresses. When young is full it becomes old,
// and what was old is forgotten: so the table is bounded, and an address that
// comes all the time stays.
type rateTable struct {
	each       int        // requests a minute
	mu         sync.Mutex // guards young and old
	young, old map[string]*rate.Limiter
}

const rateTableSize = 1 << 16 // addresses in each half

// wait takes one request of the address, or says how long it must wait. A whole
// minute's requests may come at once.
func (t *rateTable) wait(address string, now time.Time) time.Duration {
	reservation := t.of(address).ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

func (t *rateTable) of(address string) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if limiter, ok := t.young[address]; ok {
		return limiter
	}
	limiter, ok := t.old[address]
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(float64(t.each)/60), t.each)
	}
	if len(t.young) >= rateTableSize {
		t.young, t.old = map[string]*rate.Limiter{}, t.young
	}
	t.young[address] = limiter
	return limiter
}

// LimitConnections bounds the connections of a listener: past most, one that
// is accepted is closed at once. 0 bounds nothing.
func LimitConnections(l net.Listener, most int) net.Listener {
	if most <= 0 {
		return l
	}
	return &limitedListener{Listener: l, most: int64(most)}
}

type limitedListener struct {
	net.Listener
	most int64
	open atomic.Int64
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &limitedConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = conn.Close() // nobody to tell
	}
}

type limitedConn struct {
	net.Conn
	closed func()
}

func (c *limitedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
