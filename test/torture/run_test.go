package torture_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// plan is a run.
type plan struct {
	start   starter
	nodes   int
	users   int // each has two callers
	seed    uint64
	name    string               // of the run: its users' logins begin with it
	more    func(kills int) bool // whether to kill once more
	outage  func()               // what the nodes share fails and is back when it returns; nil: never
	patient bool                 // wait for a theft, which takes 13 seconds
}

// callersOfUser is more than one, so that a reset meets sessions of others.
const callersOfUser = 2

// killWithin is the longest that a node lives.
const killWithin = 450 * time.Millisecond

// outageEvery is how many kills of nodes there are for an outage; a short run has one too.
const outageEvery = 8

// run tortures the nodes, and judges what they answered. The seed settles what
// the workers choose, not how the machine orders them.
func run(t *testing.T, p plan) *report {
	t.Helper()
	random := rand.New(rand.NewPCG(p.seed, 0))
	h := &history{began: time.Now()}
	f := newFleet(p.nodes, p.start)
	callers := newCallers(t, p, f, h)
	stop := make(chan struct{})
	var group sync.WaitGroup
	finish := sync.OnceFunc(func() { close(stop); group.Wait() })
	defer finish()  // a node that does not start ends the test here:
	defer f.close() // nobody waits for it then
	for _, c := range callers {
		group.Go(func() { c.run(stop) })
	}
	kills, outages := 0, 0
	for ; p.more(kills); kills++ {
		if p.outage != nil && kills%outageEvery == outageEvery/2 {
			time.Sleep(time.Duration(random.Int64N(int64(killWithin))))
			p.outage()
			outages++
		}
		time.Sleep(time.Duration(random.Int64N(int64(killWithin))))
		victim := random.IntN(p.nodes)
		f.kill(victim, h.now)
		f.raise(victim)
	}
	finish()
	for i := range p.nodes {
		f.kill(i, h.now)
	}
	h.settle()
	r := h.judge()
	r.kills, r.outages = kills, outages
	return r
}

// newCallers makes the users, and the callers of each.
func newCallers(t *testing.T, p plan, f *fleet, h *history) (callers []*caller) {
	t.Helper()
	shared := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(shared.CloseIdleConnections)
	admin := testbin.Client(t, f.lives[0].url, client.WithAPIKey(f.lives[0].adminKey))
	number := 0
	for i := range p.users {
		name := fmt.Sprintf("%s-%d@example.com", p.name, i)
		user, err := admin.CreateUser(t.Context(), api.CreateUserRequest{Login: name, Email: name, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		for range callersOfUser {
			c := &caller{user: user.UserID, login: name, resets: i%2 == 0, patient: p.patient}
			for j := range c.workers {
				number++
				c.workers[j] = &worker{number: number, random: rand.New(rand.NewPCG(p.seed, uint64(number))), fleet: f, history: h, http: shared}
			}
			callers = append(callers, c)
		}
	}
	return callers
}
