//go:build linux

package torture_test

import (
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// probe is a client that refreshes one session again and again, by one node after the other. It shows for how long no
// node answered.
type probe struct {
	fleet *fleet
	login string

	mu       sync.Mutex // guards the field below
	answered []time.Time
}

const (
	probePause   = 50 * time.Millisecond
	probeTimeout = 2 * time.Second
)

// newProbe creates the user of a probe.
func newProbe(t *testing.T, f *fleet) *probe {
	t.Helper()
	p := &probe{fleet: f, login: rand.Text() + "@example.com"}
	admin := testbin.Client(t, f.lives[0].url, client.WithAPIKey(f.lives[0].adminKey))
	_, err := admin.CreateUser(t.Context(), api.CreateUserRequest{
		Login: p.login, Email: p.login, Password: password, AuthLevel: api.LevelMailboxUser,
		NetworkID: new(int64(1)), MailboxID: new(int64(1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run refreshes until stop is closed. It signs in if there is no session, or no longer one.
func (p *probe) run(stop <-chan struct{}) {
	web := newHTTPClient(probeTimeout)
	defer web.CloseIdleConnections()
	next := request{kind: login, login: p.login, value: password}
	for i := 0; !closed(stop); i++ {
		l := p.fleet.number(i)
		if l == nil {
			time.Sleep(probePause)
			continue
		}
		w := &worker{http: web}
		c := &call{kind: next.kind, with: next.with.claims}
		status, text, err := w.send(l, next)
		switch c.answer = c.classify(status, err); c.answer {
		case done:
			var got result
			if c.read(text, &got) == nil {
				p.note()
				next = request{kind: refresh, with: got.credential, key: rand.Text()[:8]}
			}
		case rejected:
			next = request{kind: login, login: p.login, value: password}
		}
		time.Sleep(probePause)
	}
}

func (p *probe) note() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = append(p.answered, time.Now())
}

// awaitAnswer waits for the next answer, for insistLimit at most.
func (p *probe) awaitAnswer() {
	began := time.Now()
	for time.Since(began) < insistLimit {
		p.mu.Lock()
		last := len(p.answered) > 0 && p.answered[len(p.answered)-1].After(began)
		p.mu.Unlock()
		if last {
			return
		}
		time.Sleep(probePause)
	}
}

// longestGap returns the longest time between two answers, of which the second came after a time.
func (p *probe) longestGap(since time.Time) (longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, _ := slices.BinarySearchFunc(p.answered, since, time.Time.Compare)
	for i := max(1, first); i < len(p.answered); i++ {
		longest = max(longest, p.answered[i].Sub(p.answered[i-1]))
	}
	return longest
}
