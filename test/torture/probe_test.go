//go:build linux

package torture_test

import (
	"context"
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
//
// It opens its session with an API key, because the failed sign-ins of the workers slow down all sign-ins from their
// address.
type probe struct {
	t     *testing.T
	fleet *fleet
	user  int64

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
	login := rand.Text() + "@example.com"
	admin := testbin.Client(t, f.lives[0].url, client.WithAPIKey(f.lives[0].adminKey))
	user, err := admin.CreateUser(t.Context(), api.CreateUserRequest{
		Login: login, Email: login, Password: password, AuthLevel: api.LevelMailboxUser,
		NetworkID: new(int64(1)), MailboxID: new(int64(1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &probe{t: t, fleet: f, user: user.UserID}
}

// open opens a session, and returns the first refresh of it.
func (p *probe) open(l *life) (request, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), probeTimeout)
	defer cancel()
	admin := testbin.Client(p.t, l.url, client.WithAPIKey(l.adminKey))
	opened, err := admin.OpenSession(ctx, api.OpenSessionRequest{UserID: p.user})
	if err != nil {
		return request{}, err
	}
	with, err := parse(opened.Token)
	return request{kind: refresh, with: with, key: rand.Text()[:8]}, err
}

// run refreshes until stop is closed. It opens a session if there is none, or if it has ended.
func (p *probe) run(stop <-chan struct{}) {
	web := newHTTPClient(probeTimeout)
	defer web.CloseIdleConnections()
	var next request
	for i := 0; !closed(stop); i++ {
		l := p.fleet.number(i)
		if l == nil {
			time.Sleep(probePause)
			continue
		}
		if next.kind == "" {
			opening, err := p.open(l)
			if err == nil {
				p.note()
				next = opening
			}
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
			next = request{}
		}
		time.Sleep(probePause)
	}
}

func (p *probe) note() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = append(p.answered, time.Now())
}

// awaitAnswer waits for the next answer. The test fails if there is none for insistLimit.
func (p *probe) awaitAnswer() {
	p.t.Helper()
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
	p.t.Errorf("no node answered for %v", insistLimit)
}

// longestGap returns the begin and the end of the longest time between two answers, of which the second came after a
// time.
func (p *probe) longestGap(since time.Time) (begin, end time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, _ := slices.BinarySearchFunc(p.answered, since, time.Time.Compare)
	for i := max(1, first); i < len(p.answered); i++ {
		if p.answered[i].Sub(p.answered[i-1]) > end.Sub(begin) {
			begin, end = p.answered[i-1], p.answered[i]
		}
	}
	return begin, end
}
