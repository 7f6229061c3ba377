// Package freeaddr chooses addresses for servers that a test starts later.
package freeaddr

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// TB is the part of testing.TB used by this package.
type TB interface {
	Helper()
	Fatal(args ...any)
}

// given has the addresses that New has returned.
var given sync.Map

// New returns a local address whose port is free, and another one at each call. The system never chooses such a port
// for a connection or for a listener on port 0, so the port stays free until a server has been built and started.
func New(t TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if _, again := given.LoadOrStore(addr, true); again {
			continue
		}
		if listener, err := net.Listen("tcp", addr); err == nil {
			listener.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
