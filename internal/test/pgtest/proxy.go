//go:build linux

package pgtest

import (
	"net"
	"sync"
)

// Proxy stands between Pawl and a database, and can be told to fail.
type Proxy struct {
	Addr string

	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	target string
	change *sync.Cond // the mode has changed
	mode   mode
	conns  map[net.Conn]bool
}

type mode int

const (
	passing  mode = iota
	stalled       // connections stay open, and nothing comes through
	dropping      // connections are closed, new ones too
	muted         // requests go through, their answers do not: then the connection is closed
)

// NewProxy starts a proxy to an address; it ends with the test.
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

// SetTarget sends new connections to another address.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Pass lets all bytes through.
func (p *Proxy) Pass() { p.set(passing) }

// Stall holds all bytes back until Pass.
func (p *Proxy) Stall() { p.set(stalled) }

// Drop closes all connections, and each new one.
func (p *Proxy) Drop() { p.set(dropping) }

// Mute lets requests through and loses their answers: what was asked happens,
// and nobody hears of it.
func (p *Proxy) Mute() { p.set(muted) }

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

// await returns the mode, once it is not stalled, and the target.
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
	p.hold(client, server)
	defer p.release(client, server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, false) })
	both.Go(func() { p.copy(client, server, true) })
	both.Wait()
}

func (p *Proxy) hold(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
		if p.mode == dropping {
			conn.Close()
		}
	}
}

func (p *Proxy) release(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}

// copy passes bytes on until either side ends; then it ends the other too.
func (p *Proxy) copy(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		m, _ := p.await()
		if err != nil || m == dropping || m == muted && answers {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
