package torture_test

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// session is one sign-in that a client's workers share.
type session struct {
	user   int64
	family *family

	mu         sync.Mutex // guards the fields below
	current    credential
	superseded []credential // the latest is last
	rejections int          // consecutive rejections of the current token
}

func (s *session) now() credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// advance makes a successor the current token.
func (s *session) advance(next credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.generation > s.current.generation {
		s.superseded = append(s.superseded, s.current)
		s.current = next
		s.rejections = 0
	}
}

// note counts the rejections of the current token.
func (s *session) note(with credential, got answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if with.claims != s.current.claims || got == none {
		return
	}
	s.rejections++
	if got != rejected {
		s.rejections = 0
	}
}

// abandoned reports whether the client gives up, because the session has ended or a lost response had its token.
func (s *session) abandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejections >= 5
}

// anySuperseded returns one of the last three superseded tokens, if the session has one.
func (s *session) anySuperseded(pick func(int) int) (credential, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.superseded), 3)
	if n == 0 {
		return credential{}, false
	}
	return s.superseded[len(s.superseded)-1-pick(n)], true
}

const (
	workersOfSession = 3
	maxIdle          = 10 * time.Millisecond // between two calls; it keeps the history short enough to check
	wakeAfter        = 13 * time.Second      // past the race window and the tokens' lives, by any clock
)

// caller signs in repeatedly as one member of a family. Its workers share each session.
type caller struct {
	workers [workersOfSession]*worker
	family  *family
	user    int64
	login   string
	repeats bool // whether each parked session waits for a replay, instead of a theft
	patient bool // whether run waits for at least one of the two

	parked []parked
	used   int // parked sessions that were used again
	began  bool
}

// parked is an idle session. Once the race window has passed and the tokens have expired, it is used again.
type parked struct {
	*session
	since time.Time
	lost  request // the last refresh, whose response the client has not seen; zero without one
}

// loginRetry is the pause after a failed login. It is shorter than Retry-After.
const loginRetry = 200 * time.Millisecond

// run uses sessions until stop is closed. Then it inspects each parked session.
func (c *caller) run(stop <-chan struct{}) {
	w := c.workers[0]
	for !closed(stop) {
		got, ok := w.do(request{
			kind: login, user: c.user, login: c.login, value: c.family.anyPassword(c.user, w.random),
		})
		if !ok {
			return
		}
		if got.answer == done {
			c.use(&session{user: c.user, family: c.family, current: got.credential}, stop)
			c.wake()
			continue
		}
		time.Sleep(loginRetry)
	}
	if c.patient && c.used == 0 && len(c.parked) > 0 {
		time.Sleep(time.Until(c.parked[0].since.Add(wakeAfter)))
		c.wake()
	}
	for _, p := range c.parked {
		c.resume(p)
		w.inspect(p.session)
	}
}

// use lets each worker make some calls with the session. Afterwards it parks the session, logs out, resets the user, or
// leaves the session as it is. It always parks the first session.
func (c *caller) use(s *session, stop <-chan struct{}) {
	w := c.workers[0]
	way, calls := w.random.IntN(4), 20+w.random.IntN(100)
	if !c.began || way == 0 {
		c.began = true
		c.work(s, 5, stop)
		c.park(s)
		return
	}
	c.work(s, calls, stop)
	switch {
	case way == 1:
		w.do(request{kind: logout, user: s.user, with: s.now()})
	case way == 2 && !s.family.quiet:
		w.do(request{kind: reset, user: s.user})
	}
	w.inspect(s)
}

// park leaves a session idle. If the caller repeats, the client loses the response of a last refresh.
func (c *caller) park(s *session) {
	p := parked{session: s, since: time.Now()}
	if c.repeats {
		p.lost = request{kind: refresh, user: s.user, with: s.now(), key: rand.Text()[:8]}
		c.workers[0].insist(p.lost)
	}
	c.parked = append(c.parked, p)
}

// work lets each worker make the given number of calls.
func (c *caller) work(s *session, calls int, stop <-chan struct{}) {
	var group sync.WaitGroup
	for _, w := range c.workers {
		group.Go(func() {
			for n := 0; n < calls && !closed(stop) && !s.abandoned(); n++ {
				w.act(s)
				w.verifyInMemory(s)
				time.Sleep(time.Duration(w.random.Int64N(int64(maxIdle))))
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

// act makes one random call, as the client or a rival with the same tokens would.
func (w *worker) act(s *session) {
	current := s.now()
	hangUp := w.random.IntN(30) == 0
	if s.user == s.family.admin && w.random.IntN(3) == 0 {
		w.administer(s, hangUp)
		return
	}
	switch n := w.random.IntN(1000); {
	case n < 450:
		w.exchange(s, hangUp)
	case n < 750:
		got, _ := w.do(request{kind: verify, user: s.user, with: current, hangUp: hangUp})
		s.note(current, got.answer)
	case n < 850:
		if old, ok := s.anySuperseded(w.random.IntN); ok {
			w.do(request{kind: verify, user: s.user, with: old})
		}
	case n < 990:
		if old, ok := s.anySuperseded(w.random.IntN); ok {
			w.do(request{kind: refresh, user: s.user, with: old, key: w.idempotencyKey(), hangUp: hangUp})
		}
	case n < 995:
		w.do(request{kind: logout, user: s.user, with: current, hangUp: hangUp})
	case n < 997 && !s.family.quiet:
		w.do(request{kind: reset, user: s.user, hangUp: hangUp})
	}
}

// idempotencyKey returns a new Idempotency-Key or "".
func (w *worker) idempotencyKey() string {
	if w.random.IntN(2) == 0 {
		return ""
	}
	return rand.Text()[:8]
}

// exchange refreshes like a client that repeats the request with its Idempotency-Key until it has a response. It
// discards some responses. Without a key, the server cannot repeat a lost response, and the retry may have a superseded
// token.
func (w *worker) exchange(s *session, hangUp bool) {
	r := request{kind: refresh, user: s.user, with: s.now(), key: w.idempotencyKey(), hangUp: hangUp}
	for range 4 {
		got, ok := w.do(r)
		s.note(r.with, got.answer)
		discarded := w.random.IntN(4) == 0 && r.key != "" || w.random.IntN(50) == 0
		if got.answer == done && !discarded {
			s.advance(got.credential)
		}
		if !ok || got.answer == rejected || got.answer == done && !discarded {
			return
		}
		r.hangUp = false
	}
}

// inspect verifies the last superseded tokens and the current token, and refreshes. The session's workers must have
// ended.
func (w *worker) inspect(s *session) {
	for _, old := range s.superseded[max(0, len(s.superseded)-3):] {
		w.do(request{kind: verify, user: s.user, with: old})
	}
	w.do(request{kind: verify, user: s.user, with: s.now()})
	w.exchange(s, false)
}

// wake uses each session that has been parked for long enough: it repeats the lost refresh, or refreshes with a
// superseded token as a thief would. The session's own refresh before that shows that the session is active.
func (c *caller) wake() {
	w := c.workers[0]
	for len(c.parked) > 0 && time.Since(c.parked[0].since) >= wakeAfter {
		p := c.parked[0]
		c.parked = slices.Delete(c.parked, 0, 1)
		c.used++
		if old, ok := p.anySuperseded(w.random.IntN); !c.resume(p) && ok {
			w.exchange(p.session, false)
			w.do(request{kind: refresh, user: p.user, with: old})
		}
		w.inspect(p.session)
	}
}

// resume repeats the lost refresh of a parked session. It reports whether there was one.
func (c *caller) resume(p parked) bool {
	if p.lost.key == "" {
		return false
	}
	if got, _ := c.workers[0].insist(p.lost); got.answer == done {
		p.advance(got.credential)
	}
	return true
}
