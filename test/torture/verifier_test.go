package torture_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/wallclock"
)

// A client.Verifier follows the feed of the fleet. The workers let it verify the tokens of their sessions, and the
// history has its answers. A verifier may accept a dead token for its bound and one heartbeat, and for no longer.

const (
	verifierBound = time.Second
	heartbeat     = 200 * time.Millisecond // of the feed
)

// localCheck is an answer of the verifier. Its call has the times of the history.
type localCheck struct {
	call
	inMemory bool // whether other figures show that Pawl was not asked; concurrent checks may hide it
}

// fleetTransport sends each request to a node that is up.
type fleetTransport struct {
	fleet *fleet
	base  http.RoundTripper
	turn  atomic.Int64
}

var errNoNode = errors.New("no node is up")

// RoundTrip sends a request.
func (f *fleetTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	l := f.fleet.number(int(f.turn.Add(1)))
	if l == nil {
		return nil, errNoNode
	}
	r = r.Clone(r.Context())
	r.URL.Host = strings.TrimPrefix(l.url, "http://")
	return f.base.RoundTrip(r)
}

// valve holds what the connections of a verifier receive while it is closed.
type valve struct {
	mu     sync.Mutex // guards closed
	opened *sync.Cond
	closed bool
}

func newValve() *valve {
	v := &valve{}
	v.opened = sync.NewCond(&v.mu)
	return v
}

func (v *valve) set(closed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = closed
	v.opened.Broadcast()
}

// hold closes the valve for a while.
func (v *valve) hold(d time.Duration) {
	v.set(true)
	time.Sleep(d)
	v.set(false)
}

// heldConn is a connection with a valve.
type heldConn struct {
	net.Conn
	valve *valve
}

// Read reads from the connection, and returns when the valve is open.
func (c heldConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.valve.mu.Lock()
	defer c.valve.mu.Unlock()
	for c.valve.closed {
		c.valve.opened.Wait()
	}
	return n, err
}

// localVerifier is a verifier in this process. A run holds its connections, and sets its wall clock.
type localVerifier struct {
	pawl    *client.Client
	valve   *valve
	clock   wallclock.Clock
	current atomic.Pointer[client.Verifier]
}

// newVerifier returns a verifier that reaches the nodes of a fleet. It ends with the test.
func newVerifier(t *testing.T, f *fleet) *localVerifier {
	t.Helper()
	v := &localVerifier{valve: newValve()}
	base := &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return heldConn{conn, v.valve}, err
		},
	}
	var err error
	v.pawl, err = client.New("http://pawl.test", client.WithAPIKey(f.lives[0].adminKey), client.WithRetries(0),
		client.WithHTTPClient(&http.Client{Transport: &fleetTransport{fleet: f, base: base}}))
	if err != nil {
		t.Fatal(err)
	}
	v.restart()
	t.Cleanup(func() { v.current.Load().Close(); base.CloseIdleConnections() })
	return v
}

// restart replaces the verifier by a new one, which has seen no event.
func (v *localVerifier) restart() {
	config := client.VerifierConfig{Bound: verifierBound, AskTimeout: time.Second, Clock: v.clock.Now}
	if old := v.current.Swap(client.NewVerifier(v.pawl, config)); old != nil {
		old.Close()
	}
}

// usedToken is a token that a worker has used.
type usedToken struct {
	credential
	at time.Time
}

// A worker presents a token to the verifier again when the token is of this age. It is probably dead then, and the
// verifier must have noticed.
const (
	minUsedAge = verifierBound + heartbeat
	maxUsedAge = 4 * time.Second
)

// earlierToken returns a token of such an age, if the worker has one, and remembers the current one.
func (w *worker) earlierToken(current credential) (credential, bool) {
	now := time.Now()
	w.used = append(w.used, usedToken{current, now})
	w.used = slices.DeleteFunc(w.used, func(u usedToken) bool { return now.Sub(u.at) > maxUsedAge })
	n, _ := slices.BinarySearchFunc(w.used, now.Add(-minUsedAge), func(u usedToken, t time.Time) int {
		return u.at.Compare(t)
	})
	if n == 0 {
		return credential{}, false
	}
	return w.used[w.random.IntN(n)].credential, true
}

// verifyInMemory lets the verifier check a token of the session, or an earlier token.
func (w *worker) verifyInMemory(s *session) {
	with := s.now()
	if old, ok := w.earlierToken(with); ok && w.random.IntN(2) == 0 {
		with = old
	}
	c := localCheck{call: call{worker: w.number, kind: verify, user: s.user, with: with.claims}}
	verifier := w.verifier.current.Load()
	before := verifier.Stats()
	c.start = w.history.now()
	_, err := verifier.Verify(context.Background(), with.text)
	c.end = w.history.now()
	after := verifier.Stats()
	switch {
	case err == nil:
		c.answer = done
		c.inMemory = after.Asked == before.Asked
	case errors.Is(err, client.ErrInvalidSession):
		c.answer = rejected
	default:
		return
	}
	w.history.addLocal(c)
}

// wrongAnswer returns what is wrong with an answer of the verifier, or "". calls are those of the session.
func (c localCheck) wrongAnswer(calls []*call) string {
	if c.answer == done {
		earlier := c.call
		earlier.start -= int64(verifierBound + heartbeat)
		if isSuperseded(&earlier, calls) {
			return "accepted a dead token after the bound"
		}
		return ""
	}
	for _, other := range calls {
		if other.kind == verify && other.with == c.with && other.answer == done && other.start > c.end {
			return "rejected a token that Pawl accepted later"
		}
	}
	return ""
}
