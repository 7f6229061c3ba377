package torture_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
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

// newVerifier returns a verifier that reaches the nodes of a fleet. It ends with the test.
func newVerifier(t *testing.T, f *fleet) *client.Verifier {
	t.Helper()
	base := &http.Transport{MaxIdleConnsPerHost: 64}
	pawl, err := client.New("http://pawl.test", client.WithAPIKey(f.lives[0].adminKey), client.WithRetries(0),
		client.WithHTTPClient(&http.Client{Transport: &fleetTransport{fleet: f, base: base}}))
	if err != nil {
		t.Fatal(err)
	}
	v := client.NewVerifier(pawl, client.VerifierConfig{Bound: verifierBound, AskTimeout: time.Second})
	t.Cleanup(func() { v.Close(); base.CloseIdleConnections() })
	return v
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
	before := w.verifier.Stats()
	c.start = w.history.now()
	_, err := w.verifier.Verify(context.Background(), with.text)
	c.end = w.history.now()
	after := w.verifier.Stats()
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
