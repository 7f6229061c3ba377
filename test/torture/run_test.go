package torture_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// plan configures a run.
type plan struct {
	start    starter
	nodes    int
	families int
	seed     uint64
	name     string               // the prefix of the users' logins
	more     func(kills int) bool // reports whether to kill another node
	// killsOfHistory is the number of kills that are checked together. 0 means the default.
	killsOfHistory int
	// outage, if set, makes the shared state of the nodes fail. It returns when the state is available again.
	outage func()
	// freeze, if set, pauses the shared state of the nodes.
	freeze  func(time.Duration)
	lull    bool // whether to leave the nodes alone now and then, so that the verifier decides by itself for seconds
	patient bool // whether to wait for a theft and a late replay, which takes 13 seconds
}

// callersOfVictim is more than one, so that a reset also ends the sessions of another caller.
const callersOfVictim = 2

const (
	maxLife  = 450 * time.Millisecond // limits the time between the start and the kill of a node
	maxPause = 700 * time.Millisecond // of a node or the shared state
	lull     = 2 * time.Second        // longer than the bound of the verifier
)

// lullEvery is the number of kills for each lull.
const lullEvery = 5

// outageEvery is the number of kills for each outage and for each freeze. The first ones come after a part of them, so
// that a short run has them too. pauseEvery is the number of kills for each pause of a node.
const (
	outageEvery = 8
	pauseEvery  = 3
)

// run kills nodes under load, and checks their answers. The seed determines the choices of the workers, but not the
// scheduling of the machine.
func run(t *testing.T, p plan) *report {
	t.Helper()
	random := rand.New(rand.NewPCG(p.seed, 0))
	h := &history{began: time.Now()}
	f := newFleet(p.nodes, p.start)
	stop := make(chan struct{})
	clients := newClients(t, p, f, h)
	var group sync.WaitGroup
	finish := sync.OnceFunc(func() { close(stop); group.Wait() })
	// If a node does not start, the test ends here. Close the fleet first, because the workers would wait for the node.
	defer finish()
	defer f.close()
	for _, run := range clients {
		group.Go(func() { run(stop) })
	}
	r := &report{}
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	for ; p.more(r.kills); r.kills++ {
		switch {
		case p.outage != nil && r.kills%outageEvery == outageEvery/2:
			time.Sleep(upTo(maxLife))
			p.outage()
			r.outages++
		case p.freeze != nil && r.kills%outageEvery == outageEvery/4:
			time.Sleep(upTo(maxLife))
			p.freeze(upTo(maxPause))
			r.pauses++
		case r.kills%pauseEvery == 0:
			time.Sleep(upTo(maxLife))
			f.pause(random.IntN(p.nodes), upTo(maxPause))
			r.pauses++
		}
		time.Sleep(upTo(maxLife))
		if p.lull && r.kills%lullEvery == lullEvery-1 {
			time.Sleep(lull)
		}
		victim := random.IntN(p.nodes)
		f.kill(victim, h.now)
		f.startNode(victim)
	}
	finish()
	for i := range p.nodes {
		f.kill(i, h.now)
	}
	h.close()
	r.check(h)
	return r
}

func newHTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
}

// newClients creates the users, and returns what their callers and the Root do until a channel is closed.
func newClients(t *testing.T, p plan, f *fleet, h *history) (clients []func(stop <-chan struct{})) {
	t.Helper()
	shared := newHTTPClient(20 * time.Second)
	t.Cleanup(shared.CloseIdleConnections)
	verifier := newVerifier(t, f)
	number := 0
	newWorker := func() *worker {
		number++
		random := rand.New(rand.NewPCG(p.seed, uint64(number)))
		return &worker{
			number: number, random: random, fleet: f, history: h, http: shared, verifier: verifier,
		}
	}
	admin := testbin.Client(t, f.lives[0].url, client.WithAPIKey(f.lives[0].adminKey))
	for i := range p.families {
		one := newFamily(t, admin, fmt.Sprintf("%s-%d", p.name, i), int64(10*(i+1)), i%2 == 1)
		h.families = append(h.families, one)
		callers := []*caller{{user: one.admin, login: one.adminLogin}}
		for j := range callersOfVictim {
			callers = append(callers, &caller{user: one.victim, login: one.victimLogin, repeats: j == 0})
		}
		for _, c := range callers {
			c.family, c.patient = one, p.patient
			for k := range c.workers {
				c.workers[k] = newWorker()
			}
			clients = append(clients, c.run)
		}
		root := newWorker()
		clients = append(clients, func(stop <-chan struct{}) { root.disturb(one, stop) })
	}
	return clients
}
