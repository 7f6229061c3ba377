package torture_test

import (
	"math/rand/v2"
	"sync"
)

// node is a server that listens.
type node struct {
	url      string
	adminKey string // of an administrator; the same on all nodes, and after each start
	// kill ends the process as kill -9 does. It returns when nothing that the
	// node began can happen any more: with a database behind it, when that has
	// ended the node's connections too.
	kill func()
}

// starter starts the node of that number, for the first time or after a kill,
// on the state that its nodes share, and returns when it listens.
type starter func(number int) node

// life is a node from its start to its death.
type life struct {
	node
	number int
	died   int64 // Unix nanoseconds; 0: not yet. Written by the killer, read when the workers have ended
}

// fleet is the nodes of a run. One goroutine starts and kills, many pick.
type fleet struct {
	start starter

	mu    sync.Mutex // guards what follows
	woken *sync.Cond // a node is up, or closed
	lives []*life    // nil: down
	open  bool
}

func newFleet(nodes int, start starter) *fleet {
	f := &fleet{start: start, lives: make([]*life, nodes), open: true}
	f.woken = sync.NewCond(&f.mu)
	for i := range nodes {
		f.raise(i)
	}
	return f
}

func (f *fleet) raise(i int) {
	l := &life{node: f.start(i), number: i}
	f.mu.Lock()
	f.lives[i] = l
	f.mu.Unlock()
	f.woken.Broadcast()
}

// kill kills a node while calls go on, and takes it out.
func (f *fleet) kill(i int, now func() int64) {
	l := f.lives[i] // this goroutine alone writes it
	l.kill()
	l.died = now()
	f.mu.Lock()
	f.lives[i] = nil
	f.mu.Unlock()
}

// close lets those who wait for a node go.
func (f *fleet) close() {
	f.mu.Lock()
	f.open = false
	f.mu.Unlock()
	f.woken.Broadcast()
}

// pick returns a node that is up, and waits for one if there is none; nil when
// the fleet is closed.
func (f *fleet) pick(random *rand.Rand) *life {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if !f.open {
			return nil
		}
		var up []*life
		for _, l := range f.lives {
			if l != nil {
				up = append(up, l)
			}
		}
		if len(up) > 0 {
			return up[random.IntN(len(up))]
		}
		f.woken.Wait()
	}
}
