package client_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// faultyProxy forwards TCP connections to a server, unless a test sets a fault.
type faultyProxy struct {
	url    string // of the proxy
	target string

	mu     sync.Mutex // guards the fields below
	wake   *sync.Cond
	fault  fault
	closed bool
	conns  map[net.Conn]bool
}

type fault int

const (
	noFault fault = iota
	holds         // keeps connections open, and forwards no byte
	cuts          // closes connections, and accepts none
)

// newFaultyProxy starts a proxy of a server at an address such as http://127.0.0.1:8080. It ends with the test.
func newFaultyProxy(t testing.TB, url string) *faultyProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultyProxy{
		url: "http://" + listener.Addr().String(), target: strings.TrimPrefix(url, "http://"),
		conns: map[net.Conn]bool{},
	}
	p.wake = sync.NewCond(&p.mu)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.set(cuts)
		group.Wait()
	})
	return p
}

// set begins or ends a fault.
func (p *faultyProxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	if f == cuts {
		for conn := range p.conns {
			conn.Close()
		}
	}
	p.wake.Broadcast()
}

// await waits until bytes may pass. It returns false if the connection must end.
func (p *faultyProxy) await() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.fault == holds && !p.closed {
		p.wake.Wait()
	}
	return p.fault != cuts
}

func (p *faultyProxy) serve(conn net.Conn) {
	defer conn.Close()
	if !p.await() {
		return
	}
	other, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer other.Close()
	p.mu.Lock()
	p.conns[conn], p.conns[other] = true, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, conn)
		delete(p.conns, other)
	}()
	var group sync.WaitGroup
	group.Go(func() { p.copy(other, conn) })
	p.copy(conn, other)
	group.Wait()
}

// copy forwards in one direction, and then closes both connections.
func (p *faultyProxy) copy(to io.WriteCloser, from io.ReadCloser) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil || !p.await() {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
