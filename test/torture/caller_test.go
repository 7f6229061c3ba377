package torture_test

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// session is one sign-in as a client's workers share it.
type session struct {
	user   int64
	resets bool

	mu       sync.Mutex // guards what follows
	current  credential
	old      []credential // the latest last
	refusals int          // of the current token, in a row
}

func (s *session) now() credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// advance takes a successor in.
func (s *session) advance(next credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.generation > s.current.generation {
		s.old = append(s.old, s.current)
		s.current, s.refusals = next, 0
	}
}

// note keeps the account of refusals.
func (s *session) note(with credential, told answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if with.claims != s.current.claims || told == none {
		return
	}
	s.refusals++
	if told == done {
		s.refusals = 0
	}
}

// over reports whether the client gives up: the session has ended, or its
// token was in an answer that did not arrive.
func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusals >= 5
}

// oldOne returns one of the last three old tokens, if there is one.
func (s *session) oldOne(pick func(int) int) (credential, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.old), 3)
	if n == 0 {
		return credential{}, false
	}
	return s.old[len(s.old)-1-pick(n)], true
}

const (
	workersOfSession = 3
	pause            = 10 * time.Millisecond // at most, between two calls: it keeps the history short enough to check
	theftAfter       = 13 * time.Second      // surely past the race window
)

// caller signs in again and again, and each time lets its workers have the session.
type caller struct {
	workers [workersOfSession]*worker
	user    int64
	login   string
	resets  bool // whether the user's sessions are reset now and then, which leaves a thief little
	patient bool // whether to wait for one theft at least

	used   bool // at least once
	parked []parked
	thefts int
}

// parked is a session that is left alone, for a thief to come.
type parked struct {
	*session
	since time.Time
}

// beforeNextLogin is a short form of what Retry-After asks for.
const beforeNextLogin = 200 * time.Millisecond

// run goes on until stop is closed, and then looks at each session once more.
func (c *caller) run(stop <-chan struct{}) {
	for !closed(stop) {
		token, told, ok := c.workers[0].do(request{kind: login, user: c.user, login: c.login})
		if !ok {
			return
		}
		if told == done {
			c.use(&session{user: c.user, resets: c.resets, current: token}, stop)
			c.thief()
			continue
		}
		time.Sleep(beforeNextLogin)
	}
	if c.patient && c.thefts == 0 && len(c.parked) > 0 {
		time.Sleep(time.Until(c.parked[0].since.Add(theftAfter)))
		c.thief()
	}
	for _, s := range c.parked {
		c.workers[0].look(s.session)
	}
}

// use lets the workers have the session, each for some calls, and ends it in
// one of four ways. One is to park it while it still is alive, and the first
// goes that way.
func (c *caller) use(s *session, stop <-chan struct{}) {
	w := c.workers[0]
	way, calls := w.random.IntN(4), 20+w.random.IntN(100)
	if !c.used || way == 0 {
		c.used = true
		c.work(s, 5, stop)
		c.parked = append(c.parked, parked{s, time.Now()})
		return
	}
	c.work(s, calls, stop)
	switch {
	case way == 1:
		w.do(request{kind: logout, user: s.user, with: s.now()})
	case way == 2 && s.resets:
		w.do(request{kind: reset, user: s.user})
	}
	w.look(s)
}

// work lets each worker make so many calls.
func (c *caller) work(s *session, calls int, stop <-chan struct{}) {
	var group sync.WaitGroup
	for _, w := range c.workers {
		group.Go(func() {
			for n := 0; n < calls && !closed(stop) && !s.over(); n++ {
				w.act(s)
				time.Sleep(time.Duration(w.random.Int64N(int64(pause))))
			}
		})
	}
	group.Wait()
}

func closed(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// act makes one call of those that a client or its rival makes.
func (w *worker) act(s *session) {
	current := s.now()
	hangUp := w.random.IntN(30) == 0
	switch n := w.random.IntN(1000); {
	case n < 450:
		w.exchange(s, hangUp)
	case n < 750:
		_, told, _ := w.do(request{kind: verify, user: s.user, with: current, hangUp: hangUp})
		s.note(current, told)
	case n < 850:
		if old, ok := s.oldOne(w.random.IntN); ok {
			w.do(request{kind: verify, user: s.user, with: old})
		}
	case n < 990:
		if old, ok := s.oldOne(w.random.IntN); ok {
			w.do(request{kind: refresh, user: s.user, with: old, key: w.key(), hangUp: hangUp})
		}
	case n < 995:
		w.do(request{kind: logout, user: s.user, with: current, hangUp: hangUp})
	case n < 997 && s.resets:
		w.do(request{kind: reset, user: s.user, hangUp: hangUp})
	}
}

// key is a new Idempotency-Key, or none.
func (w *worker) key() string {
	if w.random.IntN(2) == 0 {
		return ""
	}
	return rand.Text()[:8]
}

// exchange refreshes as a client does that sends the request again, with its
// key, until it has an answer. Some answers are thrown away. Without a key
// nothing gives a lost answer back, and the client tries the old token.
func (w *worker) exchange(s *session, hangUp bool) {
	r := request{kind: refresh, user: s.user, with: s.now(), key: w.key(), hangUp: hangUp}
	for range 4 {
		next, told, ok := w.do(r)
		s.note(r.with, told)
		thrownAway := w.random.IntN(4) == 0 && r.key != "" || w.random.IntN(50) == 0
		if told == done && !thrownAway {
			s.advance(next)
		}
		if !ok || told == refused || told == done && !thrownAway {
			return
		}
		r.hangUp = false
	}
}

// look verifies the last old tokens and the current one, and then refreshes. The
// session's workers have ended.
func (w *worker) look(s *session) {
	for _, old := range s.old[max(0, len(s.old)-3):] {
		w.do(request{kind: verify, user: s.user, with: old})
	}
	w.do(request{kind: verify, user: s.user, with: s.now()})
	w.exchange(s, false)
}

// thief uses an old token of each session that was left alone for long enough.
func (c *caller) thief() {
	for len(c.parked) > 0 && time.Since(c.parked[0].since) >= theftAfter {
		s := c.parked[0].session
		c.parked = slices.Delete(c.parked, 0, 1)
		w := c.workers[0]
		w.do(request{kind: verify, user: s.user, with: s.now()})
		if old, ok := s.oldOne(w.random.IntN); ok {
			w.do(request{kind: refresh, user: s.user, with: old})
			c.thefts++
		}
		w.look(s)
	}
}
