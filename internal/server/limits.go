package server

import (
	"container/list"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/cors"
	"golang.org/x/time/rate"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// Limits protects the server from too many requests. It counts the requests of this process only. A field of 0 sets no
// limit.
type Limits struct {
	// LoginRate is how many logins one address may send per minute. The addresses of one IPv6 /64 count as one.
	LoginRate int
	// RefreshRate is how many refreshes one address may send per minute.
	RefreshRate int
	// MaxInFlight is how many requests may be in flight at once. The server answers any further request with 503,
	// except for health checks. A request does not count while the server waits for its body. If the server is full, a
	// further request takes the place of the response whose client has not read for longest, if that is a second or
	// more; that response is cut off.
	MaxInFlight int
	// TrustedProxies lists the proxies whose X-Forwarded-For header names the client. The header of any other peer is
	// ignored.
	TrustedProxies []netip.Prefix
}

// limiter is the handler in front of the server. The limiter admits or rejects each request.
type limiter struct {
	Limits
	next     *server
	inFlight atomic.Int64
	writes   slowWrites
	origins  crossOrigin
	guard    *http.CrossOriginProtection
	rules    map[string]pathRules // of the paths without a variable
}

// pathRules has the limits of a path.
type pathRules struct {
	rate *rateTable // nil: no limit
	cors *cors.Cors // nil: no other origin may read the responses
}

func newLimiter(c Config, next *server) *limiter {
	h := &limiter{
		Limits: c.Limits, next: next, origins: newCrossOrigin(c), guard: newGuard(c), rules: map[string]pathRules{},
	}
	rates := map[string]int{loginPath: c.Limits.LoginRate, refreshPath: c.Limits.RefreshRate}
	for path := range next.spellings.exact {
		rules := pathRules{cors: h.origins.of(path)}
		if perMinute := rates[path]; perMinute > 0 {
			rules.rate = &rateTable{perMinute: perMinute, young: map[string]*rate.Limiter{}}
		}
		h.rules[path] = rules
	}
	grant := h.rules[grantPath]
	grant.rate = h.rules[refreshPath].rate // the same exchange in another form
	h.rules[grantPath] = grant
	if next.console != nil {
		for _, path := range next.console.SignInPaths() {
			signIn := h.rules[path]
			signIn.rate = h.rules[loginPath].rate
			h.rules[path] = signIn
		}
	}
	return h
}

var errAtCapacity = &fault.Error{
	Kind:       fault.Unavailable,
	RetryAfter: time.Second,
	Message:    "The server is at capacity; retry after 1 s.",
}

// ServeHTTP answers or rejects a request. It first replaces the path by its canonical spelling, so that no spelling
// avoids the rules of its path, and a proxy's address by the client's.
func (h *limiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	outer := r
	rules, known := h.rules[r.URL.Path]
	if !known {
		r = h.next.spellings.canonical(r)
		if rules, known = h.rules[r.URL.Path]; !known {
			rules.cors = h.origins.of(r.URL.Path)
		}
	}
	if len(h.TrustedProxies) > 0 {
		r = h.withClientAddress(r)
	}
	if r != outer {
		defer func(inner *http.Request) { outer.Pattern = inner.Pattern }(r) // for the metrics
	}
	if rules.cors != nil {
		if isPreflight(r) {
			h.answerPreflight(w, r, rules.cors)
			return
		}
		rules.cors.HandlerFunc(w, r) // adds headers for an allowed origin, also to errors
	}
	if h.next.setup != nil && h.next.setup.closes(r) {
		h.reject(w, r, errNeedsSetup)
		return
	}
	h.admit(w, r, rules.rate)
}

// answerPreflight answers a preflight with 204, and with the headers that the browser needs if its origin is allowed.
// It does not ask the store or count a request.
func (h *limiter) answerPreflight(w http.ResponseWriter, r *http.Request, rules *cors.Cors) {
	setRequestID(w, r)
	r.Pattern = h.next.route(r) // for the metrics
	rules.HandlerFunc(w, r)
}

// admit answers or rejects a request whose path has this rate. It always admits health checks, because a busy server is
// still healthy.
func (h *limiter) admit(w http.ResponseWriter, r *http.Request, table *rateTable) {
	if h.MaxInFlight > 0 && r.URL.Path != healthPath && r.URL.Path != readyPath {
		held := &slot{ReadCloser: r.Body, ResponseWriter: w, limiter: h}
		if !held.acquire() {
			h.reject(w, r, errAtCapacity)
			return
		}
		defer held.release()
		if r.Body != http.NoBody {
			r.Body = held
		}
		w = held
	}
	if table != nil && r.Method == http.MethodPost {
		if h.fromForeignPage(r) {
			h.reject(w, r, errForeignPage)
			return
		}
		if wait := table.wait(throttle.AddressBlock(origin(r).IP), time.Now()); wait > 0 {
			limited := &fault.Error{Kind: fault.RateLimited, RetryAfter: wait}
			limited.Message = "Too many requests from this address; retry after " + retryAfter(limited) + " s."
			h.reject(w, r, limited)
			return
		}
	}
	h.next.ServeHTTP(w, r)
}

// fromForeignPage reports whether a page of an origin that is not allowed made the browser send a request without a
// preflight, as a form does. If such requests counted, a page could use up the rate of its visitor's address, and so
// lock the visitor out.
func (h *limiter) fromForeignPage(r *http.Request) bool {
	contentType := r.Header.Get("Content-Type")
	preflighted := contentType != "" && isJSON(contentType) ||
		r.Header.Get("Authorization") != "" || r.Header.Get("X-API-Key") != ""
	return !preflighted && h.guard.Check(r) != nil
}

func (h *limiter) reject(w http.ResponseWriter, r *http.Request, err error) {
	setRequestID(w, r)
	r.Pattern = h.next.route(r) // for the metrics
	h.next.fail(w, r, err)
}

// slot is a request's unit of MaxInFlight. It wraps the body of the request, and gives the unit back while the server
// waits for the body. Otherwise a few slow clients could use up all units. For the same reason it wraps the writer of
// the response: another request may take the slot of a response whose client reads slowly. Only the goroutine of the
// request uses a slot, except cutLongest.
type slot struct {
	io.ReadCloser
	http.ResponseWriter
	limiter *limiter
	held    bool
	cut     bool      // another request has the slot, and the response fails
	written int       // bytes of the response
	began   time.Time // when the current write began
}

// acquire reports whether a slot was free, or was taken from a response that waits for its client.
func (s *slot) acquire() bool {
	s.held = s.limiter.inFlight.Add(1) <= int64(s.limiter.MaxInFlight)
	if !s.held {
		s.limiter.inFlight.Add(-1)
		s.held = s.limiter.writes.cutLongest()
	}
	return s.held
}

func (s *slot) release() {
	if s.held {
		s.limiter.inFlight.Add(-1)
		s.held = false
	}
}

// Read reads the body. It returns errAtCapacity if the client has sent something and no slot is free by then.
func (s *slot) Read(b []byte) (int, error) {
	s.release()
	n, err := s.ReadCloser.Read(b)
	if !s.acquire() {
		return n, errAtCapacity
	}
	return n, err
}

// slowAfter is how long a write takes before its client counts as slow. A client that reads needs far less.
const slowAfter = time.Second

// slowWrites has the writes of responses in progress. A write takes long if its client does not read.
type slowWrites struct {
	mu   sync.Mutex // guards the list, and held and cut of its slots
	list list.List  // of *slot, the oldest write first
}

// cutLongest cuts off the response whose client has been slow for longest, so that another request gets its slot. It
// returns false if no client is slow.
func (s *slowWrites) cutLongest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.list.Front(); e != nil; e = e.Next() {
		w := e.Value.(*slot)
		if time.Since(w.began) < slowAfter {
			return false
		}
		if !w.cut && http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Unix(1, 0)) == nil {
			w.cut = true
			w.held = false
			return true
		}
	}
	return false
}

// maxBuffered is how many bytes of a response net/http buffers at least, so that no write up to there waits for the
// client.
const maxBuffered = 2048

var errResponseCut = errors.New("the server was full, and the client has not read for longest")

// Write writes, or returns an error once the response is cut off.
func (s *slot) Write(b []byte) (int, error) {
	s.written += len(b)
	switch {
	case s.cut:
		return 0, errResponseCut
	case s.written <= maxBuffered, !s.held: // without a slot it is a stream, which no other request replaces
		return s.ResponseWriter.Write(b)
	}
	writes := &s.limiter.writes
	s.began = time.Now()
	writes.mu.Lock()
	e := writes.list.PushBack(s)
	writes.mu.Unlock()
	n, err := s.ResponseWriter.Write(b)
	writes.mu.Lock()
	writes.list.Remove(e)
	writes.mu.Unlock()
	if s.cut {
		err = errResponseCut
	}
	return n, err
}

// Unwrap returns the wrapped writer, as http.ResponseController requires.
func (s *slot) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// releaseSlot gives back the slot of a stream, which may take hours.
func releaseSlot(w http.ResponseWriter) {
	if held, ok := w.(*slot); ok {
		held.release()
	}
}
