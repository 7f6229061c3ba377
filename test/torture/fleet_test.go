package torture_test

import (
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"
)

// node is a running server.
type node struct {
	url      string
	adminKey string // an administrator's API key; all nodes and restarts have the same
	// kill kills the process with SIGKILL. It returns when no request to the node can take effect any more: if the node
	// uses a database, the database must have closed the node's connections.
	kill func()
	// signal sends SIGSTOP or SIGCONT to the process.
	signal func(os.Signal)
}

// starter starts the node with this number, for the first time or after a kill. All nodes share their state. The
// starter returns when the node listens.
type starter func(number int) node

// life is a node from its start to its kill.
type life struct {
	node
	number int
	// killed is the time of the kill in Unix nanoseconds, or 0. The goroutine that kills writes it; other goroutines
	// read it only after the workers have ended.
	killed int64
	gone   chan struct{} // closed after the kill
}

// fleet has the nodes of a run. One goroutine starts and kills nodes, many goroutines pick nodes.
type fleet struct {
	start starter
	// pauseAfterNone is how long a worker waits after a call without an answer, unless the node is killed earlier.
	pauseAfterNone time.Duration

	mu      sync.Mutex // guards the fields below
	changed *sync.Cond // signals that a node has started or the fleet is closed
	lives   []*life    // nil for a node that is down
	open    bool
}

func newFleet(nodes int, start starter) *fleet {
	f := &fleet{start: start, lives: make([]*life, nodes), open: true}
	f.changed = sync.NewCond(&f.mu)
	for i := range nodes {
		f.startNode(i)
	}
	return f
}

func (f *fleet) startNode(i int) {
	l := &life{node: f.start(i), number: i, gone: make(chan struct{})}
	f.mu.Lock()
	f.lives[i] = l
	f.mu.Unlock()
	f.changed.Broadcast()
}

// kill kills a node under load, and removes it from the nodes to pick.
func (f *fleet) kill(i int, now func() int64) {
	l := f.lives[i] // only this goroutine writes it
	l.kill()
	l.killed = now()
	close(l.gone)
	f.mu.Lock()
	f.lives[i] = nil
	f.mu.Unlock()
}

// pause stops a node under load for a while. The node stays among the nodes to pick, because a client cannot tell.
func (f *fleet) pause(i int, d time.Duration) {
	l := f.lives[i] // only this goroutine writes it
	l.signal(syscall.SIGSTOP)
	time.Sleep(d)
	l.signal(syscall.SIGCONT)
}

// close makes all current and future calls of pick return nil.
func (f *fleet) close() {
	f.mu.Lock()
	f.open = false
	f.mu.Unlock()
	f.changed.Broadcast()
}

// number returns the node with a number, or nil if it is down.
func (f *fleet) number(i int) *life {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lives[i%len(f.lives)]
}

// pick returns a random node that is up. It waits while no node is up, and returns nil once the fleet is closed.
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
		f.changed.Wait()
	}
}
