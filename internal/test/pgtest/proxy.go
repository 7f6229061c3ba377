//go:build linux

package pgtest

import (
	"bytes"
	"net"
	"sync"
)

// Proxy forwards connections from Pawl to a database, and simulates failures of the network.
type Proxy struct {
	Addr string

	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	target string
	change *sync.Cond // signals a change of mode
	mode   mode
	cutAt  string // if a request contains it, its connection is closed instead
	holdAt string // if a request contains it, the request is held until released, and holdAt becomes empty
	held   chan struct{}
	freed  chan struct{}
	conns  map[net.Conn]bool
}

type mode int

const (
	passing  mode = iota
	stalled       // connections stay open, but transfer nothing
	dropping      // all connections are closed, new ones immediately
	muted         // requests pass; the first response is dropped and its connection closed
)

// NewProxy starts a proxy to an address. It stops at the end of the test.
func NewProxy(t TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: listener.Addr().String(), target: target, listener: listener, conns: map[net.Conn]bool{}}
	p.change = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.Drop()
		p.running.Wait()
	})
	return p
}

// SetTarget changes the target address of new connections.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Pass forwards all bytes.
func (p *Proxy) Pass() { p.set(passing) }

// Stall holds all bytes until the next change of mode.
func (p *Proxy) Stall() { p.set(stalled) }

// Drop closes all connections, and each new connection immediately.
func (p *Proxy) Drop() { p.set(dropping) }

// Mute forwards requests but drops their responses: the database does the work, and Pawl does not learn the outcome.
func (p *Proxy) Mute() { p.set(muted) }

// CutAt closes each connection whose next request contains a text, before the database gets the request. An empty text
// ends that.
func (p *Proxy) CutAt(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAt = text
}

// cuts reports whether a request closes its connection.
func (p *Proxy) cuts(request []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cutAt != "" && bytes.Contains(request, []byte(p.cutAt))
}

// HoldAt holds the next request that contains a text until release is called. held is closed once the request is held.
func (p *Proxy) HoldAt(text string) (held <-chan struct{}, release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holdAt = text
	p.held = make(chan struct{})
	p.freed = make(chan struct{})
	return p.held, sync.OnceFunc(func() { close(p.freed) })
}

// hold returns once a request may go to the database.
func (p *Proxy) hold(request []byte) {
	p.mu.Lock()
	holds := p.holdAt != "" && bytes.Contains(request, []byte(p.holdAt))
	freed := p.freed
	if holds {
		p.holdAt = ""
		close(p.held)
	}
	p.mu.Unlock()
	if holds {
		<-freed
	}
}

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	p.change.Broadcast()
	if m == dropping {
		for conn := range p.conns {
			conn.Close()
		}
	}
}

// await waits while the proxy is stalled. It returns the mode and the target.
func (p *Proxy) await() (mode, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode == stalled {
		p.change.Wait()
	}
	return p.mode, p.target
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	mode, target := p.await()
	if mode == dropping {
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	p.track(client, server)
	defer p.untrack(client, server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, false) })
	both.Go(func() { p.copy(client, server, true) })
	both.Wait()
}

func (p *Proxy) track(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
		if p.mode == dropping {
			conn.Close()
		}
	}
}

func (p *Proxy) untrack(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}

// copy forwards bytes until one side closes its connection. Then it closes both connections.
func (p *Proxy) copy(to, from net.Conn, responses bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		m, _ := p.await()
		if err != nil || m == dropping || m == muted && responses || !responses && p.cuts(buffer[:n]) {
			return
		}
		if !responses {
			p.hold(buffer[:n])
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
