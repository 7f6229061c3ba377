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

// plan configures a run.
type plan struct {
	start starter
	nodes int
	users int // each user has callersOfUser callers
	seed  uint64
	name  string               // the prefix of the users' logins
	more  func(kills int) bool // reports whether to kill another node
	// outage, if set, makes the shared state of the nodes fail. It returns when the state is available again.
	outage  func()
	patient bool // whether to wait for a theft, which takes 13 seconds
}

// callersOfUser is more than one, so that a reset also ends the sessions of another caller.
const callersOfUser = 2

// maxLife limits the time between the start and the kill of a node.
const maxLife = 450 * time.Millisecond

// outageEvery is the number of kills for each outage. The first outage comes after half of them, so that a short run
// has one too.
const outageEvery = 8

// run kills nodes under load, and checks their answers. The seed determines the choices of the workers, but not the
// scheduling of the machine.
func run(t *testing.T, p plan) *report {
	t.Helper()
	random := rand.New(rand.NewPCG(p.seed, 0))
	h := &history{began: time.Now()}
	f := newFleet(p.nodes, p.start)
	callers := newCallers(t, p, f, h)
	stop := make(chan struct{})
	var group sync.WaitGroup
	finish := sync.OnceFunc(func() { close(stop); group.Wait() })
	// If a node does not start, the test ends here. Close the fleet first, because the workers would wait for the node.
	defer finish()
	defer f.close()
	for _, c := range callers {
		group.Go(func() { c.run(stop) })
	}
	kills, outages := 0, 0
	for ; p.more(kills); kills++ {
		if p.outage != nil && kills%outageEvery == outageEvery/2 {
			time.Sleep(time.Duration(random.Int64N(int64(maxLife))))
			p.outage()
			outages++
		}
		time.Sleep(time.Duration(random.Int64N(int64(maxLife))))
		victim := random.IntN(p.nodes)
		f.kill(victim, h.now)
		f.startNode(victim)
	}
	finish()
	for i := range p.nodes {
		f.kill(i, h.now)
	}
	h.close()
	r := h.check()
	r.kills, r.outages = kills, outages
	return r
}

// newCallers creates the users, and returns their callers.
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
				random := rand.New(rand.NewPCG(p.seed, uint64(number)))
				c.workers[j] = &worker{number: number, random: random, fleet: f, history: h, http: shared}
			}
			callers = append(callers, c)
		}
	}
	return callers
}
