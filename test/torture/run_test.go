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
	freeze func(time.Duration)
	// partition, if set, cuts a node off from the shared state.
	partition func(node int, d time.Duration)
	// setClocks, if set, sets the wall clocks of all nodes forward or back. The history is then checked without times.
	setClocks func(time.Duration)
	// verifier is whether to disturb the verifier too, and to leave the nodes alone now and then, so that the verifier
	// decides by itself for seconds.
	verifier bool
	patient  bool // whether to wait for a theft and a late replay, which takes 13 seconds
}

// callersOfVictim is more than one, so that a reset also ends the sessions of another caller.
const callersOfVictim = 2

const (
	maxLife   = 450 * time.Millisecond // limits the time between the start and the kill of a node
	maxPause  = 700 * time.Millisecond // of a node or the shared state
	lull      = 2 * time.Second        // longer than the bound of the verifier
	maxCut    = 2 * time.Second        // of a node from the shared state, or of the verifier from the nodes
	clockStep = 10 * time.Minute       // of a clock
)

// lullEvery is the number of kills for each lull.
const lullEvery = 5

// outageEvery is the number of kills for each fault but a pause. The first ones come after a part of them, so that a
// short run has them too. pauseEvery is the number of kills for each pause of a node.
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
	if p.partition != nil {
		f.pauseAfterNone = maxCut / 4 // a node that is cut off leaves many calls without an answer
	}
	stop := make(chan struct{})
	verifier := newVerifier(t, f)
	clients := newClients(t, p, f, h, verifier)
	var group sync.WaitGroup
	finish := sync.OnceFunc(func() { close(stop); group.Wait() })
	// If a node does not start, the test ends here. Close the fleet first, because the workers would wait for the node.
	defer finish()
	defer f.close()
	for _, run := range clients {
		group.Go(func() { run(stop) })
	}
	r := &report{}
	for ; p.more(r.kills); r.kills++ {
		p.disturb(f, verifier, random, r)
		time.Sleep(upTo(random, maxLife))
		if p.verifier && r.kills%lullEvery == lullEvery-1 {
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
	h.clocksSet = p.setClocks != nil
	r.check(h)
	return r
}

func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// disturb causes the fault that is next, if there is one.
func (p plan) disturb(f *fleet, v *localVerifier, random *rand.Rand, r *report) {
	next := func(number int) bool { return r.kills%outageEvery == number }
	switch {
	case p.outage != nil && next(4):
		time.Sleep(upTo(random, maxLife))
		p.outage()
		r.outages++
	case p.freeze != nil && next(2):
		time.Sleep(upTo(random, maxLife))
		p.freeze(upTo(random, maxPause))
		r.pauses++
	case p.partition != nil && next(1):
		p.partition(random.IntN(p.nodes), upTo(random, maxCut))
		r.cuts++
	case p.verifier && next(3):
		v.valve.hold(upTo(random, maxCut))
		r.cuts++
	case r.kills%pauseEvery == 0:
		time.Sleep(upTo(random, maxLife))
		f.pause(random.IntN(p.nodes), upTo(random, maxPause))
		r.pauses++
	}
	forward := clockStep
	if r.steps%2 == 1 {
		forward = -clockStep
	}
	switch {
	case p.setClocks != nil && r.kills%2 == 1:
		p.setClocks(forward)
		v.restart()
		r.steps++
	case p.verifier && (next(0) || next(5)):
		v.clock.Step(forward)
		r.steps++
	}
}

func newHTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
}

// newClients creates the users, and returns what their callers and the Root do until a channel is closed.
func newClients(
	t *testing.T, p plan, f *fleet, h *history, verifier *localVerifier,
) (clients []func(stop <-chan struct{})) {
	t.Helper()
	shared := newHTTPClient(20 * time.Second)
	t.Cleanup(shared.CloseIdleConnections)
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
